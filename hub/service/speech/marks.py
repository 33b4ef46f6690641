"""Marks of sentences and words for models without marks: from the spans of chunks, else in proportion."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from typing import Self

from msgspec import Struct

from hub.audio.subtitles import spoken_length, word_marks
from hub.contract.event import AudioChunk, Done, Mark, Span
from hub.contract.speaking import Speaking
from hub.text.arriving import ArrivingSentences
from hub.text.sentences import Sentence


class _Stretch(Struct):
    """A stretch of audio, from `start` to `end` seconds, that speaks `span` of the text."""

    span: Span
    start: float
    end: float


class Marker:
    """A maker of `sentence` marks from a stream's chunks, for a model that gives none itself.

    Add text with `text` before its audio. A time is exact if a chunk begins or ends with the sentence; otherwise it is
    `estimated`: the chunk's time is divided in proportion to the text. The mark of a sentence is ready when the
    chunk after its last one has arrived; without spans, all marks are ready at the end.
    """

    def __init__(self) -> None:
        self._text = ""
        self._arriving = ArrivingSentences()
        self._sentences: deque[Sentence] = deque()
        self._stretches: list[_Stretch] = []
        self._seconds = 0.0
        self._lead = 0.0  # seconds of silence before the first stretch
        self._needless = False

    def text(self, piece: str) -> None:
        """Add more of the text."""
        self._text += piece
        self._sentences += self._arriving.feed(piece)

    def see(self, event: AudioChunk | Mark | Done) -> list[Mark]:
        """Return the marks to send before `event`: those of sentences whose audio is complete."""
        if isinstance(event, Mark):
            self._needless = self._needless or event.kind == "sentence"
            return []
        if ended := isinstance(event, Done):
            self._sentences += self._arriving.flush()
            if not self._stretches:
                self._stretches = [_Stretch((0, len(self._text)), 0.0, self._seconds)]
        else:
            self._hear(event)
        marks = list(self._complete(ended))
        return [] if self._needless else marks

    def _hear(self, chunk: AudioChunk) -> None:
        start, self._seconds = self._seconds, self._seconds + chunk.seconds
        last = self._stretches[-1] if self._stretches else None
        if chunk.span is None and not any(chunk.pcm):
            if last is None:
                self._lead = self._seconds
            return  # a pause has no text
        if last is not None and chunk.span in (None, last.span):
            last.end = self._seconds
        elif chunk.span is not None:
            self._stretches.append(_Stretch(chunk.span, start if last else self._lead, self._seconds))

    def _complete(self, ended: bool) -> Iterator[Mark]:
        begun = self._stretches[-1].span[0] if self._stretches else 0
        while self._sentences and (ended or self._sentences[0].end <= begun):
            sentence = self._sentences.popleft()
            start, exact_start = self._time(sentence.start, after=True)
            end, exact_end = self._time(sentence.end, after=False)
            estimated = not (exact_start and exact_end)
            span = (sentence.start, sentence.end)
            yield Mark("sentence", start, max(start, end), sentence.text, span, estimated)

    def _time(self, position: int, *, after: bool) -> tuple[float, bool]:
        """Return when the character `after` a position begins, or the one before it ends, and True if that is exact."""
        character = position if after else position - 1
        at = bisect_right(self._stretches, character, key=lambda stretch: stretch.span[0]) - 1
        stretch = self._stretches[max(at, 0)]
        begin, stop = stretch.span
        if character < begin or not self._text[begin:position].strip():
            return stretch.start, after
        if character >= stop or not self._text[position:stop].strip():
            return stretch.end, not after
        whole = spoken_length(self._text[begin:stop]) or 1.0
        share = spoken_length(self._text[begin:position]) / whole
        return stretch.start + share * (stretch.end - stretch.start), False


class MarkedSpeech:
    """A Speech with sentence marks, the model's own or derived; with `words` also a mark for each word.

    If the model gives no word times, they are `estimated`: in proportion, within the sentence.
    """

    def __init__(self, speech: Speaking, text: str = "", *, words: bool = False) -> None:
        self._speech = speech
        self._marker = Marker()
        self._marker.text(text)
        self._words = words
        self._ready: deque[AudioChunk | Mark | Done] = deque()

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self._speech.sample_rate

    @property
    def request_id(self) -> str:
        """The id of this request in the logs."""
        return self._speech.request_id

    @property
    def model(self) -> str:
        """The model that speaks."""
        return self._speech.model

    @property
    def voice(self) -> str:
        """The voice that speaks; "" if it has no name."""
        return self._speech.voice

    def text(self, piece: str) -> None:
        """Add more of the text, before its audio."""
        self._marker.text(piece)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AudioChunk | Mark | Done:
        while not self._ready:
            event = await anext(self._speech)
            marks = self._marker.see(event)
            if isinstance(event, Mark):
                marks = [event]
                self._words = self._words and event.kind != "word"
            for mark in marks:
                self._ready.append(mark)
                if self._words and mark.kind == "sentence":
                    self._ready.extend(word_marks(mark))
            if not isinstance(event, Mark):
                self._ready.append(event)
        return self._ready.popleft()

    async def aclose(self) -> None:
        """End the request early."""
        await self._speech.aclose()
