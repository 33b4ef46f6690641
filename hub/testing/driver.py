"""`Driver`: a model in its real worker, driven by plain calls, for tests that are not async."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from hub.contract.backend import BackendSpec, Loaded, ModelConfig
from hub.contract.conversion import ResolvedConversion
from hub.contract.errors import from_fault
from hub.contract.event import AudioChunk, Done, Fault, Mark, SpeechEvent
from hub.contract.speech import ResolvedRequest, SpeechRequest
from hub.engine.process import ProcessEngine
from hub.engine.stream import EventStream
from hub.settings import WorkerSettings

SHORTEST, SILENCE, LOUDEST = 0.05, 1e-4, 1.001
"""The least seconds, and the least and the greatest peak amplitude, of acceptable audio."""

BUFFER = 2.0
"""Seconds of audio that a stream may run ahead of its reader."""

_Result = TypeVar("_Result")


class Answer(Struct, kw_only=True, frozen=True):
    """The complete answer to one request."""

    chunks: list[AudioChunk]
    marks: list[Mark]
    ending: Done | Fault

    @property
    def samples(self) -> npt.NDArray[np.float32]:
        """The whole audio, (N,)."""
        return np.frombuffer(b"".join(chunk.pcm for chunk in self.chunks), dtype="<f4")

    @property
    def seconds(self) -> float:
        """The duration of the audio."""
        return sum(chunk.seconds for chunk in self.chunks)

    @property
    def fault(self) -> Fault | None:
        """The fault that ended the answer, or None."""
        return self.ending if isinstance(self.ending, Fault) else None

    @property
    def problem(self) -> str:
        """The fault of the audio, in words that follow "it", or ""."""
        peak = float(np.abs(self.samples).max(initial=0.0))
        if self.seconds < SHORTEST:
            return f"gave {self.seconds * 1000:.0f} ms of audio"
        if not np.isfinite(self.samples).all():
            return "gave samples that are not finite"
        if peak < SILENCE:
            return "gave silence"
        if peak > LOUDEST:
            return f"gave samples up to {peak:.2f}; they must be in [-1, 1]"
        return ""

    def or_raise(self) -> Answer:
        """Return the answer. Raises the HubError of the fault if it ended in one."""
        if self.fault is not None:
            raise from_fault(self.fault)
        return self


class Driver:
    """Starts the worker on first use. Any call that takes longer than `patience` seconds raises TimeoutError."""

    def __init__(
        self,
        spec: BackendSpec,
        config: ModelConfig,
        *,
        python: str = "",
        env: Mapping[str, str] | None = None,
        patience: float = 300.0,
    ) -> None:
        self._runner = asyncio.Runner()
        self._patience = patience
        self.engine = ProcessEngine(
            config,
            spec.synthesizer,
            capabilities=spec.capabilities,
            python=python,
            env=env,
            settings=WorkerSettings(start_timeout=patience, buffer_seconds=BUFFER),
        )

    def start(self) -> Loaded:
        """Load the model. Raises WorkerStartFailed."""
        return self._run(self.engine.start())

    def speak(self, request: SpeechRequest) -> Answer:
        """Speak one request, to its end."""
        return self.speak_together([request])[0]

    def speak_together(self, requests: Sequence[SpeechRequest]) -> list[Answer]:
        """Speak all requests at once; return the answers in the order of the requests.

        As many as the model speaks at once have all begun before any of them goes further than BUFFER.
        """

        async def together() -> list[Answer]:
            loaded = await self.engine.start()
            streams = [self.engine.speak(ResolvedRequest.of(request)) for request in requests]
            first = await asyncio.gather(*map(anext, streams[: loaded.concurrency]))
            begun: list[SpeechEvent | None] = [*first, *[None] * (len(streams) - len(first))]
            return await asyncio.gather(*map(_rest, begun, streams))

        return self._run(together())

    def convert(self, request: ResolvedConversion) -> Answer:
        """Run one conversion, to its end."""

        async def convert() -> Answer:
            await self.engine.start()
            return await _rest(None, self.engine.convert(request))

        return self._run(convert())

    def call(self, method: str, *args: Any) -> Any:
        """Call `voices`, `make_voice`, `encode` or `decode`; return the answer as builtins. Raises HubError."""

        async def call() -> Any:
            await self.engine.start()
            return await self.engine.call(method, *args)

        return self._run(call())

    def stop(self) -> None:
        """End the worker process; the next call starts a new one."""
        self._run(self.engine.stop())

    def close(self) -> None:
        """End the worker process for good."""
        try:
            self.stop()
        finally:
            self._runner.close()

    def _run(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        async def in_time() -> _Result:
            async with asyncio.timeout(self._patience):
                return await work

        return self._runner.run(in_time())


async def _rest(first: SpeechEvent | None, stream: EventStream) -> Answer:
    """Read the rest of `stream`, after the event `first` if that was read already."""
    chunks: list[AudioChunk] = []
    marks: list[Mark] = []
    event = await anext(stream) if first is None else first
    while not isinstance(event, Done | Fault):
        if isinstance(event, AudioChunk):
            chunks.append(event)
        else:
            marks.append(event)
        event = await anext(stream)
    return Answer(chunks=chunks, marks=marks, ending=event)


@contextmanager
def worker_log() -> Iterator[list[str]]:
    """Collect the lines that workers print within the block, in a list that fills line by line."""
    lines: list[str] = []
    listener = logging.Handler(logging.INFO)
    listener.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("hub.worker")
    level = log.level
    log.addHandler(listener)
    log.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        log.removeHandler(listener)
        log.setLevel(level)
