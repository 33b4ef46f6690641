"""When each character of a text is heard.

Exact where the model marks its words; else the characters of a span are spread evenly over the time in which that span
is spoken, which is exact.
"""

from __future__ import annotations

from typing import NamedTuple

from hub.contract.event import AudioChunk, Done, Mark, Span


class TimedCharacter(NamedTuple):
    """One character, and the seconds from the start of the audio between which it is heard."""

    character: str
    start: float
    end: float


class Alignment:
    """Feed it the events of one utterance, and take what is known by now.

    What is taken, joined, is the whole text once `Done` was fed; times never go back. A character that nobody speaks
    (a space between two sentences) fills the gap between its neighbours, which may be nothing.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._known: list[TimedCharacter] = []
        self._told = 0  # characters that have their times
        self._time = 0.0  # until when they are heard
        self._seconds = 0.0  # of audio so far
        self._span: Span | None = None  # what the last chunks speak, and more of them may come
        self._began = self._ended = 0.0
        self._by_words = False
        self._by_spans = False

    def feed(self, event: AudioChunk | Mark | Done) -> None:
        """The next event of the utterance."""
        if isinstance(event, AudioChunk):
            self._feed_chunk(event)
        elif isinstance(event, Mark):
            self._feed_mark(event)
        else:
            self._close()
            self._tell(len(self._text), len(self._text), self._seconds, self._seconds)

    def take(self) -> list[TimedCharacter]:
        """The characters that got their times since the last time."""
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
        """Words that the model timed win over chunks; longer marks only count where chunks tell no span."""
        if mark.span is None or mark.estimated:
            return
        if mark.kind == "word":
            self._by_words, self._span = True, None
        elif self._by_words or self._by_spans:
            return
        self._tell(*mark.span, mark.start, mark.end)

    def _close(self) -> None:
        if self._span is not None:
            self._tell(*self._span, self._began, self._ended)
            self._span = None

    def _tell(self, first: int, last: int, start: float, end: float) -> None:
        first, last = max(first, self._told), min(last, len(self._text))
        start = max(start, self._time)
        self._spread(self._told, first, self._time, start)
        self._spread(first, last, start, max(start, end))

    def _spread(self, first: int, last: int, start: float, end: float) -> None:
        if last <= first:
            return
        step = (end - start) / (last - first)
        for number, character in enumerate(self._text[first:last]):
            self._known.append(TimedCharacter(character, start + number * step, start + (number + 1) * step))
        self._told, self._time = last, end
