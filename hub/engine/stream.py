"""EventStream: the events of one request on their way from an engine to its consumer, with flow control."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

from hub.contract.errors import Cancelled, HubError
from hub.contract.event import AudioChunk, Done, Fault, SpeechEvent

GRANT_STEP = 1.0
"""Credit goes back in steps of this many seconds of audio, so that a small chunk does not cost a frame. A step must be
shorter than the audio that the engine may send ahead, or the engine waits for a step that never becomes full."""


class EventStream:
    """An async iterator of SpeechEvents that always ends with one Done or Fault.

    The engine `put`s events; the consumer iterates, and closes the stream if it leaves early. The stream grants the
    engine the audio that the consumer has taken with `grant(seconds)`; `cancel()` asks the engine to stop. `ended` is
    set when the engine has finished, which frees its place for the next request, however slowly the consumer reads the
    buffered events. `ahead` is the seconds of audio that the engine sends without credit.
    """

    def __init__(
        self,
        grant: Callable[[float], None],
        cancel: Callable[[], None],
        feed: Callable[[str | None], None] | None = None,
        *,
        ahead: float = 60.0,
    ) -> None:
        self._grant = grant
        self._step = min(GRANT_STEP, ahead / 2)
        self._cancel = cancel
        self._feed = feed
        self._events: deque[SpeechEvent] = deque()
        self._wake = asyncio.Event()
        self._owed = 0.0
        self._last_taken = False
        self._closed = False
        self.ended = asyncio.Event()
        self.ending: Done | Fault | None = None  # known as soon as `ended` is set, before it is read
        self._listeners: list[Callable[[], None]] = []
        self.buffered = 0.0  # seconds of audio put and not yet taken
        self.last_read = asyncio.get_running_loop().time()

    def put(self, event: SpeechEvent) -> None:
        """Add an event, on the engine's side. Done or Fault ends the stream; later events are dropped."""
        if self.ended.is_set():
            return
        if isinstance(event, Done | Fault):
            self.ending = event
            self.ended.set()
            listeners, self._listeners = self._listeners, []
            for listener in listeners:
                listener()
        if self._closed:
            return
        if isinstance(event, AudioChunk):
            self.buffered += event.seconds
        self._events.append(event)
        self._wake.set()

    def when_ended(self, listener: Callable[[], None]) -> None:
        """Call `listener` once, as soon as `ended` is set; at once if it is set already."""
        if self.ended.is_set():
            listener()
        else:
            self._listeners.append(listener)

    def feed(self, piece: str | None) -> None:
        """Send a piece of a live stream's text, or None at its end. Dropped if the stream has ended."""
        if self._feed is not None and not self.ended.is_set():
            self._feed(piece)

    @property
    def waiting(self) -> bool:
        """True if the next event is not here yet."""
        return not self._events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SpeechEvent:
        if self._last_taken:
            raise StopAsyncIteration
        loop = asyncio.get_running_loop()
        while not self._events:
            self._wake.clear()
            self.last_read = loop.time()
            await self._wake.wait()
        self.last_read = loop.time()
        event = self._events.popleft()
        if isinstance(event, AudioChunk):
            self._pay(event.seconds)
        elif isinstance(event, Done | Fault):
            self._last_taken = True
        return event

    def _pay(self, seconds: float) -> None:
        self.buffered -= seconds
        self._owed += seconds
        if self._owed >= self._step and not self.ended.is_set():
            self._grant(self._owed)
            self._owed = 0.0

    def close(self, reason: HubError | None = None) -> None:
        """Cancel the stream. Returns at once; wait for `ended` to know that the engine is free.

        Drops the buffered events. A consumer that still reads gets `reason` (default: `cancelled`) as the ending.
        """
        if self._closed:
            return
        self._closed = True
        self._events.clear()
        self._events.append((reason or Cancelled("the caller left")).to_fault())
        self._wake.set()
        if not self.ended.is_set():
            self._cancel()
