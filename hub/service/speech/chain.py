"""Chain: a script spoken piece by piece, as one stream."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Self

from hub.audio.join import silence
from hub.contract.errors import Cancelled, HubError
from hub.contract.event import AudioChunk, Done, Fault, SpeechEvent
from hub.contract.speech import ResolvedRequest
from hub.engine.stream import EventStream
from hub.service.speech.emptiness import Heard
from hub.service.speech.part import Levels, Part
from hub.service.speech.script import Say, Script, Silence

Begin = Callable[[ResolvedRequest], EventStream]
"""Begin a stream of the engine. Raises HubError."""


class Chain:
    """The stream of a whole script, in the shape of an EventStream: its pieces, spoken one after the other and joined.

    The engine works on one piece at a time, in the order of the script. It begins the next as soon as it has finished
    one, even if that has not been read yet; with more than `ahead` seconds unread it waits. The first fault of a piece
    ends the chain.
    """

    def __init__(
        self,
        script: Script,
        pieces: Sequence[Say | Silence],
        begin: Begin,
        *,
        model: str,
        ahead: float = 60.0,
        stall_timeout: float = 120.0,
    ) -> None:
        """Begin the first piece. Raises HubError if the engine refuses it.

        The chain closes if its reader reads nothing for `stall_timeout` seconds while a piece waits to be begun.
        """
        self._source = script.source
        self._pieces = deque(pieces)
        self._to_begin = deque(piece.request for piece in pieces if isinstance(piece, Say))
        self._begin = begin
        self._model = model
        self._ahead = ahead
        self._stall_timeout = stall_timeout
        self._last_read = asyncio.get_running_loop().time()
        self._watcher: asyncio.TimerHandle | None = None
        says = [piece for piece in pieces if isinstance(piece, Say)]
        self._last_say = says[-1]
        self._segments = len(says) > 1 or bool(says[0].speaker)
        self._levels = Levels(len({say.voice for say in says}))
        self._streams: deque[EventStream] = deque()  # begun but not yet read to the end, oldest first
        self._part: Part | None = None  # of the oldest of them
        self._out: deque[SpeechEvent] = deque()
        self._reports: list[dict[str, Any]] = []
        self._pause = 0.0  # seconds of silence to put out once the sample rate is known
        self._rate = 0
        self._samples = 0  # put out so far
        self._failure: HubError | None = None
        self._closed = False
        self._last_taken = False
        self.ended = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []
        self._begin_next()

    @property
    def waiting(self) -> bool:
        """True if the next event has not arrived yet."""
        return not self._out and bool(self._streams) and self._streams[0].waiting

    def when_ended(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the engine has finished, as `EventStream.when_ended` does."""
        if self.ended.is_set():
            listener()
        else:
            self._listeners.append(listener)

    def feed(self, piece: str | None) -> None:
        """Do nothing: a script has its text already."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SpeechEvent:
        if self._last_taken:
            raise StopAsyncIteration
        while not self._out:
            await self._advance()
        self._last_read = asyncio.get_running_loop().time()
        for stream in self._streams:
            stream.last_read = self._last_read  # the reader is active, if still on an earlier stream
        event = self._out.popleft()
        self._last_taken = isinstance(event, Done | Fault)
        return event

    def close(self, reason: HubError | None = None) -> None:
        """Drop the rest and end with `reason`, as `EventStream.close` does."""
        if not self._closed:
            self._out.clear()
            self._stop((reason or Cancelled("the caller left")).to_fault())

    # -- the engine's side ------------------------------------------------------------------------

    def _begin_next(self) -> None:
        """Begin the next piece, if the engine is free and not too far ahead."""
        if self._closed or not self._to_begin:
            return
        if self._streams and not isinstance(self._streams[-1].ending, Done):
            return
        if sum(stream.buffered for stream in self._streams) >= self._ahead:
            self._watch()
            return
        stream = self._begin(self._to_begin.popleft())
        self._streams.append(stream)
        stream.when_ended(self._through)

    def _watch(self) -> None:
        """Check now and then that the reader still reads: without a stream, the engine does not check it."""
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().call_later(self._stall_timeout / 4, self._look)

    def _look(self) -> None:
        self._watcher = None
        idle = asyncio.get_running_loop().time() - self._last_read
        if idle >= self._stall_timeout:
            self.close(Cancelled(f"the caller read nothing for {idle:.0f} s (worker.stall_timeout)"))
        else:
            self._through()

    def _through(self) -> None:
        """Go on after the engine has finished a piece."""
        try:
            self._begin_next()
        except HubError as error:
            self._failure = error
            self._to_begin.clear()
        self._tell_end()

    def _tell_end(self) -> None:
        """Notify the listeners once the engine has finished and no piece is left to begin."""
        free = all(stream.ended.is_set() for stream in self._streams)
        failed = any(isinstance(stream.ending, Fault) for stream in self._streams)
        if free and (failed or self._closed or not self._to_begin) and not self.ended.is_set():
            self.ended.set()
            listeners, self._listeners = self._listeners, []
            for listener in listeners:
                listener()

    # -- the reader's side ------------------------------------------------------------------------

    async def _advance(self) -> None:
        """Read one event of the script."""
        if self._part is None and self._pieces and isinstance(self._pieces[0], Silence):
            self._pause += self._pieces[0].seconds
            self._pieces.popleft()
            if self._rate:
                self._put_pause()
            return
        if not self._pieces:
            self._finish()
            return
        if not self._streams:
            assert self._failure is not None
            self._stop(self._failure.to_fault())
            return
        stream, say = self._streams[0], self._pieces[0]
        assert isinstance(say, Say)
        if self._part is None:
            self._part = self._begin_part(say)
        event = await anext(stream)
        if self._closed:
            return
        if isinstance(event, Fault):
            self._stop(event)
        elif isinstance(event, Done):
            self._end_part(self._part, event)
        else:
            for ready in self._part.take(event):
                self._put(ready)
            self._through()  # the engine may begin one more piece now

    def _begin_part(self, say: Say) -> Part:
        start = self._pause + (self._samples / self._rate if self._rate else 0.0)
        return Part(
            say,
            self._source,
            self._levels,
            Heard(self._model),
            start=start,
            fade_in=bool(self._samples or self._pause),
            fade_out=len(self._pieces) > 1,
            segment=self._segments,
        )

    def _end_part(self, part: Part, done: Done) -> None:
        if part.heard.empty:
            self._stop(part.heard.error().to_fault())
            return
        for ready in part.finish():
            self._put(ready)
        self._reports.append(done.report)
        self._part = None
        self._pieces.popleft()
        self._streams.popleft()
        self._through()

    def _put(self, event: SpeechEvent) -> None:
        if isinstance(event, AudioChunk):
            if not self._rate:
                self._rate = event.sample_rate
            self._put_pause()
            self._samples += len(event.pcm) // 4
        self._out.append(event)

    def _put_pause(self) -> None:
        """Put out the pause in chunks of up to a second."""
        zeros = silence(self._pause, self._rate)
        self._pause = 0.0
        for start in range(0, len(zeros), self._rate):
            chunk = AudioChunk.of(zeros[start : start + self._rate], self._rate)
            self._samples += len(chunk.pcm) // 4
            self._out.append(chunk)

    def _finish(self) -> None:
        report = {"pieces": self._reports} if any(self._reports) else {}
        self._out.append(Done(report))

    def _stop(self, fault: Fault) -> None:
        """End with `fault`, and close every stream under way."""
        self._closed = True
        self._to_begin.clear()
        if self._watcher is not None:
            self._watcher.cancel()
        self._out.append(fault)
        for stream in self._streams:
            stream.close()
        self._tell_end()
