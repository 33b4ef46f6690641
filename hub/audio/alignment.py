"""The time at which each character of a text is heard.

The times are exact where the model marks its words. Elsewhere the characters of a span are spread evenly over the time
in which the span is spoken, which is exact.
"""

from __future__ import annotations

from typing import NamedTuple

from hub.contract.event import AudioChunk, Done, Mark, Span


class TimedCharacter(NamedTuple):
    """One character, heard between two times in seconds from the start of the audio."""

    character: str
    start: float
    end: float


class Alignment:
    """Takes the events of one utterance, and gives the times that are known so far.

    Once `Done` was fed, the characters taken make up the whole text; times never go back. A silent character (a space
    between two sentences) fills the gap between its neighbours, which may be empty.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: list[TimedCharacter] = []
        self._timed = 0  # characters that have their times
        self._time = 0.0  # the end of the last of them
        self._seconds = 0.0  # of audio so far
        self._span: Span | None = None  # the span of the last chunks; later ones may extend it
        self._began = self._ended = 0.0
        self._by_words = False
        self._by_spans = False

    def feed(self, event: AudioChunk | Mark | Done) -> None:
        """Add the next event of the utterance."""
        if isinstance(event, AudioChunk):
            self._feed_chunk(event)
        elif isinstance(event, Mark):
            self._feed_mark(event)
        else:
            self._close()
            self._assign(len(self._text), len(self._text), self._seconds, self._seconds)

    def take(self) -> list[TimedCharacter]:
        """Return the characters that got their times since the last call."""
        known, self._known = self._known, []
        return known

    def _feed_chunk(self, chunk: AudioChunk) -> None:
        begin, self._seconds = self._seconds, self._seconds + chunk.seconds
        if chunk.span is None or self._by_words:
            return
        self._by_spans = True
        if self._span is not None and chunk.span[0] < self._span[1]:
            self._span = self._span[0], max(self._span[1], chunk.span[1])
        else:
            self._close()
            self._span, self._began = chunk.span, begin
        self._ended = self._seconds

    def _feed_mark(self, mark: Mark) -> None:
        """Prefer words that the model timed to chunks; use longer marks only if chunks have no spans."""
        if mark.span is None or mark.estimated:
            return
        if mark.kind == "word":
            self._by_words, self._span = True, None
        elif self._by_words or self._by_spans:
            return
        self._assign(*mark.span, mark.start, mark.end)

    def _close(self) -> None:
        if self._span is not None:
            self._assign(*self._span, self._began, self._ended)
            self._span = None

    def _assign(self, first: int, last: int, start: float, end: float) -> None:
        first, last = max(first, self._timed), min(last, len(self._text))
        start = max(start, self._time)
        self._spread(self._timed, first, self._time, start)
        self._spread(first, last, start, max(start, end))

    def _spread(self, first: int, last: int, start: float, end: float) -> None:
        if last <= first:
            return
        step = (end - start) / (last - first)
        for number, character in enumerate(self._text[first:last]):
            self._known.append(TimedCharacter(character, start + number * step, start + (number + 1) * step))
        self._timed, self._time = last, end
