"""Probe: a synthesizer around the one under test, inside its worker, that sees what no caller can see from outside.

Requests pass through unchanged. `options` with the key `PROBE` ask for an experiment, whose result comes back in the
report of Done.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from hub.contract.backend import ModelConfig, Stop
from hub.contract.conversion import ResolvedConversion
from hub.contract.event import AudioChunk, Done, Mark
from hub.contract.speech import ResolvedRequest

PROBE = "_probe"
STOP, RELOAD = "stop", "reload"

RELOADS = 3


class Probe:
    """ModelConfig.options hold `synthesizer`, the `module:Class` to wrap, and `options`, its own load options."""

    def load(self, model: ModelConfig) -> None:
        """Import and load the wrapped synthesizer."""
        module, _, attribute = model.options["synthesizer"].partition(":")
        self._wrapped = getattr(importlib.import_module(module), attribute)()
        self._config = replace(model, options=model.options["options"])
        self._wrapped.load(self._config)

    def __getattr__(self, name: str) -> Any:
        """Everything else, optional attributes included, is the wrapped synthesizer's."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._wrapped, name)

    def speak(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Speak, or do the experiment that the request asks for."""
        options = dict(request.options)
        experiment = options.pop(PROBE, None)
        request = replace(request, options=options)
        if experiment == STOP:
            yield from self._stop(lambda stop: self._wrapped.speak(request, stop))
        elif experiment == RELOAD:
            yield from self._reload(request, stop)
        else:
            yield from self._wrapped.speak(request, stop)

    def convert(self, request: ResolvedConversion, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Convert, or do the experiment that the request asks for: STOP."""
        options = dict(request.options)
        experiment = options.pop(PROBE, None)
        request = replace(request, options=options)
        if experiment == STOP:
            yield from self._stop(lambda stop: self._wrapped.convert(request, stop))
        else:
            yield from self._wrapped.convert(request, stop)

    def _stop(self, begin: Callable[[Stop], Iterator[AudioChunk | Mark]]) -> Iterator[AudioChunk | Mark | Done]:
        """Say stop once the first chunk is there, and count the chunks that come all the same."""
        stop, after = _Stop(), 0
        for event in begin(stop):
            if isinstance(event, AudioChunk):
                after += stop.said
                stop.said = True
                yield event
        yield Done({"chunks_after_stop": after, "asked": stop.asked})

    def _reload(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Close and load again, RELOADS times, and measure what stays behind."""
        memory = []
        for _ in range(RELOADS):
            self._wrapped.close()
            self._wrapped.load(self._config)
            for event in self._wrapped.speak(request, stop):
                if isinstance(event, AudioChunk):
                    yield event
            memory.append(_resident_megabytes())
        yield Done({"megabytes": memory})


class _Stop:
    def __init__(self) -> None:
        self.said = False
        self.asked = 0

    def is_set(self) -> bool:
        self.asked += 1
        return self.said


def _resident_megabytes() -> float:
    """0.0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0.0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
