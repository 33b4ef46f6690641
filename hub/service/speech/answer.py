"""Speech: an answer under way, and the checks that decide if its audio is valid."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Self

from hub.contract.errors import BackendFailed, DeadlineExceeded, HubError, from_fault
from hub.contract.event import AudioChunk, Done, Fault, Mark
from hub.engine.stream import EventStream
from hub.service.models.ledger import Ledger
from hub.service.speech.chain import Chain
from hub.service.speech.emptiness import Heard


async def first_audio(speech: Speech, until: float) -> Speech:
    """Prime `speech` before loop time `until`, and return it. Raises DeadlineExceeded, or the errors of `prime`."""
    try:
        async with asyncio.timeout_at(until):
            await speech.prime()
    except TimeoutError:
        raise DeadlineExceeded(
            f"model {speech.model!r} gave no audio in time; try again later, or raise its `deadline`"
        ) from None
    return speech


class Speech:
    """An answer under way: an async iterator of AudioChunk and Mark, then one Done. Raises HubError on a fault.

    `Hub.speak` returns it once its first audio has passed the checks. To leave early, close it (`aclose`, or
    `contextlib.aclosing`): that stops the model.
    """

    def __init__(self, ledger: Ledger, stream: EventStream | Chain) -> None:
        self._ledger = ledger
        self._stream = stream
        self._primed: deque[AudioChunk | Mark | Done] = deque()
        self._heard = Heard(ledger.model)
        self.sample_rate = 0

    @property
    def request_id(self) -> str:
        """The id of this request in the logs."""
        return self._ledger.request_id

    @property
    def model(self) -> str:
        """The model that speaks."""
        return self._ledger.model

    @property
    def voice(self) -> str:
        """The voice that speaks; "" for references, or a model without presets."""
        return self._ledger.voice

    async def prime(self) -> None:
        """Read ahead until there is enough audio that is not silent. Raises EmptyAudio or the stream's fault."""
        try:
            while self._heard.empty:
                event = await self._next()
                if isinstance(event, Done):
                    raise self._heard.error()
                self._primed.append(event)
        except BaseException as error:
            self._stream.close()
            if isinstance(error, HubError):
                self._ledger.close(error.code)
            raise

    def feed(self, piece: str | None) -> None:
        """Pass on a piece of the text of a live speech, or None at its end."""
        if piece is not None:
            self._ledger.read(len(piece))
        self._stream.feed(piece)

    def fail(self, error: HubError) -> None:
        """Stop the model, and report `error` as the outcome."""
        self._stream.close(error)
        self._ledger.close(error.code)

    async def generated(self) -> None:
        """Wait until the model has finished, even if its audio has not been read yet."""
        await self._stream.ended.wait()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AudioChunk | Mark | Done:
        if self._primed:
            return self._primed.popleft()
        try:
            event = await self._next()
        except HubError as error:
            self._ledger.close(error.code)
            raise
        if isinstance(event, Done):
            self._ledger.close("ok")
        return event

    async def _next(self) -> AudioChunk | Mark | Done:
        waited = self._stream.waiting
        event = await anext(self._stream)
        if isinstance(event, AudioChunk):
            self._check(event)
            self._ledger.count(event.seconds, waited=waited)
        elif isinstance(event, Fault):
            raise from_fault(event)
        return event

    def _check(self, chunk: AudioChunk) -> None:
        """Check that a chunk is finite and at the one sample rate, and record how loud it is."""
        self._heard.hear(chunk)
        if not self._heard.finite:
            self._stream.close()
            raise self._heard.error()
        if self.sample_rate not in (0, chunk.sample_rate) or chunk.sample_rate <= 0:
            self._stream.close()
            raise BackendFailed(f"model {self.model!r} changed its sample rate within one answer")
        self.sample_rate = chunk.sample_rate

    async def aclose(self) -> None:
        """End the request early: the model stops within one chunk. After a complete answer this does nothing."""
        self._stream.close()
        self._ledger.close("cancelled")
