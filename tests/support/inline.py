"""`InlineEngine`: a synthesizer in threads of this process. For tests only: its crash crashes the process."""

from __future__ import annotations

import asyncio
import importlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from hub.contract.backend import CONTRACT, Capabilities, Loaded, ModelConfig, Synthesizer
from hub.contract.conversion import ResolvedConversion
from hub.contract.errors import BackendUnavailable
from hub.contract.event import AudioChunk, Done, Fault, Mark
from hub.contract.speech import ResolvedRequest
from hub.engine.abilities import abilities_of
from hub.engine.base import EngineStatus
from hub.engine.pump import Running, pump
from hub.engine.stream import EventStream


class InlineEngine:
    """An engine that behaves like ProcessEngine, without a worker process."""

    def __init__(
        self,
        config: ModelConfig,
        synthesizer: Synthesizer | str,
        *,
        capabilities: Capabilities | None = None,
        buffer_seconds: float = 60.0,
    ) -> None:
        if isinstance(synthesizer, str):
            module, _, attribute = synthesizer.partition(":")
            synthesizer = getattr(importlib.import_module(module), attribute)()
        self._synthesizer = synthesizer
        self._config = config
        self._capabilities = capabilities or Capabilities()
        self._buffer_seconds = buffer_seconds
        self._loaded: Loaded | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._running: dict[Running, EventStream] = {}

    @property
    def status(self) -> EngineStatus:
        """`ready` between `start` and `stop`."""
        return EngineStatus(state="ready" if self._pool else "stopped", active=len(self._running))

    @property
    def loaded(self) -> Loaded | None:
        """The synthesizer's description of itself, once it is loaded."""
        return self._loaded

    async def measure(self) -> int | None:
        """None: it has no process of its own."""
        return None

    async def start(self) -> Loaded:
        """Load the synthesizer in a thread."""
        if self._pool is None or self._loaded is None:
            await asyncio.to_thread(self._synthesizer.load, self._config)
            concurrency = int(getattr(self._synthesizer, "concurrency", 1))
            self._loaded = Loaded(
                contract=CONTRACT,
                capabilities=getattr(self._synthesizer, "capabilities", self._capabilities),
                voices=tuple(self._synthesizer.voices()),
                concurrency=concurrency,
            )
            self._pool = ThreadPoolExecutor(concurrency)
        return self._loaded

    def speak(self, request: ResolvedRequest, request_id: str = "", *, live: bool = False) -> EventStream:
        """Start a stream in a thread of the pool."""
        return self._begin(request, request_id, live=live)

    def convert(self, request: ResolvedConversion, request_id: str = "") -> EventStream:
        """Start a stream of `Converter.convert`."""
        return self._begin(request, request_id)

    def _begin(
        self, request: ResolvedRequest | ResolvedConversion, request_id: str, *, live: bool = False
    ) -> EventStream:
        if self._pool is None:
            raise BackendUnavailable(f"model {self._config.name!r} is not loaded")
        loop = asyncio.get_running_loop()
        running = Running(self._buffer_seconds, live=live)
        stream = EventStream(
            grant=running.add_credit, cancel=running.stop, feed=running.feed, ahead=self._buffer_seconds
        )
        self._running[running] = stream

        def end(event: Done | Fault) -> None:
            self._running.pop(running, None)
            stream.put(event)

        def emit(event: AudioChunk | Mark) -> None:
            loop.call_soon_threadsafe(stream.put, event)

        def run() -> None:
            abilities = abilities_of(self._synthesizer, self._loaded.capabilities)
            ending = pump(partial(abilities.begin, request, running), running, emit, request_id)
            loop.call_soon_threadsafe(end, ending)

        self._pool.submit(run)
        return stream

    async def call(self, method: str, *args: Any) -> Any:
        """Call a method in a thread."""
        return await asyncio.to_thread(getattr(self._synthesizer, method), *args)

    async def stop(self) -> None:
        """Stop the streams, then close."""
        if self._pool is None:
            return
        pool, self._pool = self._pool, None
        for running, stream in list(self._running.items()):
            stream.put(BackendUnavailable("the model is being unloaded").to_fault())
            running.stop()
        await asyncio.to_thread(pool.shutdown)
        await asyncio.to_thread(self._synthesizer.close)
