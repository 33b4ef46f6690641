"""Live text: an utterance whose text arrives in pieces while it is spoken.

A model with `live_text` gets the pieces as they arrive. For any other model, and if the text is rewritten first (by
filters, pronunciations or a scene), the hub speaks each sentence as a request of its own as soon as it is complete, and
joins the audio into one stream. It begins a sentence when the model has finished the one before, which may still be
on its way to the client.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import Self

from msgspec.structs import replace

from hub.contract.errors import (
    BackendFailed,
    DeadlineExceeded,
    HubError,
    InternalError,
)
from hub.contract.event import AudioChunk, Done, Mark, Span
from hub.contract.speaking import Speaking
from hub.contract.speech import SpeechRequest
from hub.service.models.model import Model
from hub.service.speech.answer import Speech
from hub.service.speech.checks import check_capabilities
from hub.service.speech.desk import Desk
from hub.service.speech.marks import MarkedSpeech
from hub.service.speech.speak import begin, begin_and_hear
from hub.service.speech.vet import Vetted, settled_for, vet, with_text
from hub.text.arriving import ArrivingSentences
from hub.text.live_text import FLUSH, LiveText
from hub.text.sentences import Sentence
from hub.text.speakable import clean, is_speakable

log = logging.getLogger("hub.live")

AHEAD = 2
"""Sentences in memory at once, including the one that is being sent, however slow its reader is."""

STAND_IN = "text"
"""The text for checks before the first text has arrived."""


async def check_live(desk: Desk, request: SpeechRequest) -> Model:
    """Check an utterance as far as possible without its text; return its model. Raises HubError.

    Its voices are checked with each utterance, because they may be added or deleted meanwhile.
    """
    settled = await settled_for(desk, replace(request, text=STAND_IN))
    check_capabilities(settled.request, settled.model.name, settled.model.capabilities)
    return settled.model


async def speak_live(
    desk: Desk, request: SpeechRequest, text: LiveText, *, request_id: str, words: bool = False
) -> Speaking:
    """Speak `text` while it arrives; return with the first audio, as `speak` does. Raises HubError."""
    request = replace(request, stream=True)
    model = await check_live(desk, request)
    await text.speakable()
    with desk.ledger(request_id).reported() as ledger:  # a refusal is reported as that of any other request
        vetted = await vet(desk, replace(request, text=STAND_IN), ledger, filters=())
    until = asyncio.get_running_loop().time() + model.settings.deadline
    can = (model.loaded or await model.start(until)).capabilities
    rewritten = bool(desk.text_filters or request.pronunciations or request.dictionary or request.scene)
    if can.live_text and not rewritten:
        return await _Pieces.open(desk, vetted, text, request_id, words)
    return await _Sentences.open(desk, vetted, text, request_id, words)


class _Pieces(MarkedSpeech):
    """The speech of a model that reads the pieces as they arrive."""

    def __init__(self, speech: Speech, text: LiveText, words: bool, patience: float) -> None:
        super().__init__(speech, words=words)
        self._live = speech
        self._pieces = text
        self._patience = patience
        self._limit: asyncio.Timeout | None = None  # of the first audio; open until the text has ended
        self._feeder = asyncio.create_task(self._feed())

    @classmethod
    async def open(cls, desk: Desk, vetted: Vetted, text: LiveText, request_id: str, words: bool) -> Self:
        with desk.ledger(request_id).reported() as ledger:
            ledger.about(vetted.model.name, vetted.model.spec.name)
            speech = await begin(desk, vetted, ledger, live=True)
        live = cls(speech, text, words, vetted.model.settings.deadline)
        try:
            await live._prime()
        except BaseException:
            await live.aclose()
            raise
        return live

    async def _prime(self) -> None:
        try:
            async with asyncio.timeout(None) as self._limit:
                await self._live.prime()
        except TimeoutError:
            error = DeadlineExceeded(
                f"model {self.model!r} gave no audio in time; try again later, or raise its `deadline`"
            )
            self._live.fail(error)
            raise error from None
        finally:
            self._limit = None

    async def _feed(self) -> None:
        async for word in self._pieces:
            if word != FLUSH and (piece := clean(word)):
                self._live.feed(piece)
                self.text(piece)
        self._live.feed(None)
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time() + self._patience)

    async def aclose(self) -> None:
        """End the request early."""
        self._feeder.cancel()
        await super().aclose()


class _Sentences:
    """A speech per sentence, one after the other."""

    def __init__(self, desk: Desk, vetted: Vetted, text: LiveText, request_id: str, words: bool) -> None:
        self._desk = desk
        self._vetted = vetted
        self._text = text
        self._words = words
        self._room = asyncio.Semaphore(AHEAD)
        self._spoken: asyncio.Queue[tuple[Sentence, MarkedSpeech] | Exception | None] = asyncio.Queue()
        self._current: tuple[Sentence, MarkedSpeech] | None = None
        self._events = self._all_events()
        self._worker = asyncio.create_task(self._work_ahead())
        self.request_id = request_id
        self.model = ""
        self.voice = ""
        self.sample_rate = 0

    @classmethod
    async def open(cls, desk: Desk, vetted: Vetted, text: LiveText, request_id: str, words: bool) -> Self:
        live = cls(desk, vetted, text, request_id, words)
        try:
            first = await live._next_sentence()
            assert first is not None  # `text` is speakable
        except BaseException:
            await live.aclose()
            raise
        live.model, live.voice, live.sample_rate = first.model, first.voice, first.sample_rate
        return live

    def __aiter__(self) -> AsyncIterator[AudioChunk | Mark | Done]:
        return self

    async def __anext__(self) -> AudioChunk | Mark | Done:
        return await anext(self._events)

    async def aclose(self) -> None:
        """End the request early: the model stops."""
        self._worker.cancel()
        with suppress(asyncio.CancelledError):
            await self._worker
        await self._events.aclose()
        while True:
            if self._current is not None:
                await self._current[1].aclose()
            try:
                found = self._spoken.get_nowait()
            except asyncio.QueueEmpty:
                return
            self._current = found if isinstance(found, tuple) else None

    # -- ahead ------------------------------------------------------------------------------------

    async def _work_ahead(self) -> None:
        try:
            number = 0
            async for sentence in _sentences(self._text):
                await self._room.acquire()
                number += 1
                await self._speak(sentence, f"{self.request_id}.{number}")
        except HubError as error:
            self._spoken.put_nowait(error)
        except Exception:
            log.exception("request %s failed", self.request_id)
            self._spoken.put_nowait(InternalError("the hub failed; its log has the cause", request_id=self.request_id))
        else:
            self._spoken.put_nowait(None)

    async def _speak(self, sentence: Sentence, request_id: str) -> None:
        model = self._vetted.model
        with self._desk.ledger(request_id, chars=len(sentence.text)).reported() as ledger:
            ledger.about(model.name, model.spec.name)
            vetted = await with_text(self._desk, self._vetted, sentence.text)
            speech = await begin_and_hear(self._desk, vetted, ledger)
        marked = MarkedSpeech(speech, clean(sentence.text), words=self._words)
        self._spoken.put_nowait((sentence, marked))
        await speech.generated()

    # -- sending ----------------------------------------------------------------------------------

    async def _next_sentence(self) -> MarkedSpeech | None:
        found = await self._spoken.get()
        if isinstance(found, Exception):
            raise found
        self._current = found
        return found[1] if found else None

    async def _all_events(self) -> AsyncGenerator[AudioChunk | Mark | Done, None]:
        count, offset = 0, 0.0
        report: dict[str, object] = {}
        while self._current is not None:
            sentence, speech = self._current
            if speech.sample_rate != self.sample_rate:
                raise BackendFailed(f"model {self.model!r} changed its sample rate within one utterance")
            count, seconds = count + 1, 0.0
            exact = clean(sentence.text) == sentence.text  # else the positions inside it have moved
            async for event in speech:
                if isinstance(event, AudioChunk):
                    seconds += event.seconds
                    yield replace(event, span=_moved(event.span, sentence.start) if exact else None)
                elif isinstance(event, Mark):
                    whole = (sentence.start, sentence.end) if event.kind == "sentence" else None
                    span = _moved(event.span, sentence.start) if exact else whole
                    yield replace(event, start=event.start + offset, end=event.end + offset, span=span)
                else:
                    report.update(event.report)
            await speech.aclose()
            offset += seconds
            self._room.release()
            await self._next_sentence()
        yield Done({**report, "sentences": count})


def _moved(span: Span | None, by: int) -> Span | None:
    return (span[0] + by, span[1] + by) if span is not None else None


async def _sentences(text: LiveText) -> AsyncIterator[Sentence]:
    """Yield the sentences of `text`, each as soon as it is complete."""
    arriving = ArrivingSentences()
    async for word in text:
        for sentence in arriving.flush() if word == FLUSH else arriving.feed(word):
            if is_speakable(sentence.text):
                yield sentence
    for sentence in arriving.flush():
        yield sentence
