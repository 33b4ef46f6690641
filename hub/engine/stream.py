"""EventStream: one utterance's events on their way from an engine to its consumer, with flow control."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

from hub.contract.errors import Cancelled, HubError
from hub.contract.event import AudioChunk, Done, Fault, SpeechEvent

GRANT_STEP = 1.0
"""Credits go back in steps of this many seconds of audio, to keep small chunks from costing a frame each. A step must
be less than what the engine may be ahead, or it waits for a step that never fills."""


class EventStream:
    """An async iterator of SpeechEvents that always ends with one Done or Fault.

    The engine `put`s; the consumer iterates, and closes it when it leaves early. Audio taken by the consumer
    is paid back to the engine with `grant(seconds)`; `cancel()` asks the engine to stop. `ended` is set when the
    engine is through with the stream, which frees the engine's place for the next one, however slowly the
    consumer reads what is buffered. `ahead` is the seconds of audio that the engine sends without credit.
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
        """Engine side: add an event. Done or Fault ends the stream; what comes after an end is dropped."""
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
        """Have `listener` called once, as soon as `ended` is set: now, if it is."""
        if self.ended.is_set():
            listener()
        else:
            self._listeners.append(listener)

    def feed(self, piece: str | None) -> None:
        """A piece of the text of a live stream, or None at its end. After the stream has ended it is dropped."""
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
        """Nobody wants the rest. Returns at once; wait for `ended` to know that the engine is free.

        What is buffered is dropped, and whoever still reads gets `reason` (default: `cancelled`) as the ending.
        """
        if self._closed:
            return
        self._closed = True
        self._events.clear()
        self._events.append((reason or Cancelled("the caller left")).to_fault())
        self._wake.set()
        if not self.ended.is_set():
            self._cancel()
