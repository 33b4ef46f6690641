"""`Probe`: a synthesizer that wraps the one under test, and measures inside its worker.

Requests pass through unchanged. The option `PROBE` asks for an experiment, whose result is in the report of Done.
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
    """A wrapper whose ModelConfig.options hold `synthesizer`, the `module:Class` to wrap, and its load `options`."""

    def load(self, model: ModelConfig) -> None:
        """Import and load the wrapped synthesizer."""
        module, _, attribute = model.options["synthesizer"].partition(":")
        self._wrapped = getattr(importlib.import_module(module), attribute)()
        self._config = replace(model, options=model.options["options"])
        self._wrapped.load(self._config)

    def __getattr__(self, name: str) -> Any:
        """Return the wrapped synthesizer's attribute, optional ones included."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._wrapped, name)

    def speak(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Speak, or run the experiment that the request asks for."""
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
        """Convert, or run the experiment STOP if the request asks for it."""
        options = dict(request.options)
        experiment = options.pop(PROBE, None)
        request = replace(request, options=options)
        if experiment == STOP:
            yield from self._stop(lambda stop: self._wrapped.convert(request, stop))
        else:
            yield from self._wrapped.convert(request, stop)

    def _stop(self, begin: Callable[[Stop], Iterator[AudioChunk | Mark]]) -> Iterator[AudioChunk | Mark | Done]:
        """Set stop after the first chunk, and count the chunks that still come."""
        stop, after = _Stop(), 0
        for event in begin(stop):
            if isinstance(event, AudioChunk):
                after += stop.set
                stop.set = True
                yield event
        yield Done({"chunks_after_stop": after, "asked": stop.asked})

    def _reload(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Close and load again, RELOADS times, and measure the memory after each."""
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
        self.set = False
        self.asked = 0

    def is_set(self) -> bool:
        self.asked += 1
        return self.set


def _resident_megabytes() -> float:
    """Return the resident memory, or 0.0 if the system does not report it."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0.0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
