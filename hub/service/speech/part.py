"""Part: the events of one piece of a script, moved into the answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np
from msgspec.structs import replace

from hub.audio.join import Edges, Loudness, Samples, amplify, gain
from hub.contract.event import AudioChunk, Done, Mark, Span
from hub.service.speech.emptiness import Heard
from hub.service.speech.marks import Marker
from hub.service.speech.script import Say

HEAD = 2.0
"""Seconds of a new voice that are held back to measure its loudness."""


class Levels:
    """The loudness of each voice of a script. The other voices are matched to the first one.

    The measurement of a voice goes on from turn to turn, so only its first turn has to be held back.
    """

    def __init__(self, voices: int) -> None:
        self._needed = voices > 1
        self._meters: dict[str | None, Loudness] = {}

    def hear(self, voice: str | None, samples: Samples, sample_rate: int) -> None:
        """Measure samples of `voice`, (N,)."""
        if self._needed:
            if voice not in self._meters:
                self._meters[voice] = Loudness(sample_rate)
            self._meters[voice].feed(samples)

    def factor(self, voice: str | None, *, complete: bool = False) -> float | None:
        """Return the gain of `voice`; None if it has too little audio and is not `complete`."""
        first = next(iter(self._meters), voice)
        if not self._needed or voice == first:
            return 1.0
        meter = self._meters.get(voice)
        if meter is None or (meter.seconds < HEAD and not complete):
            return None
        return gain(meter, self._meters[first])

    def pause(self, voice: str | None) -> None:
        """End a turn of `voice`."""
        if voice in self._meters:
            self._meters[voice].pause()


class Part:
    """The events of one piece on their way into the answer, where it begins `start` seconds in.

    Audio is matched in loudness and faded at joins. Spans and the text of marks refer to the caller's text again; marks
    get their time in the answer and their speaker. If the model marks no sentences, their marks are derived.
    """

    def __init__(
        self,
        say: Say,
        source: str,
        levels: Levels,
        heard: Heard,
        *,
        start: float,
        fade_in: bool,
        fade_out: bool,
        segment: bool,
    ) -> None:
        self._say = say
        self._source = source
        self._levels = levels
        self._start = start
        self._fades = fade_in, fade_out
        self._segment = segment
        self._turns = say.request.turns
        self._marker = Marker()
        self._marker.text("\n".join(turn.text for turn in self._turns) or say.request.text or "")
        self._held: deque[AudioChunk | Mark] = deque()
        self._word: Mark | None = None  # a mark that the next one may continue
        self._factor: float | None = None
        self._edges: Edges | None = None
        self._span: Span | None = None
        self._rate = 0
        self.heard = heard

    def take(self, event: AudioChunk | Mark) -> Iterator[AudioChunk | Mark]:
        """Take the next event of the piece; yield the events that are ready for the answer."""
        marks = self._marker.see(event)
        if isinstance(event, Mark):
            marks.append(event)
        for mark in marks:
            self._held += self._translated(mark)
        if isinstance(event, AudioChunk):
            self._hear(event)
        if self._factor is None:
            self._factor = self._levels.factor(self._say.voice)
        if self._factor is not None:
            yield from self._ready(self._factor)

    def finish(self) -> Iterator[AudioChunk | Mark]:
        """End the piece; yield the rest."""
        self._levels.pause(self._say.voice)
        for mark in self._marker.see(Done()):
            self._held += self._translated(mark)
        if self._factor is None:
            self._factor = self._levels.factor(self._say.voice, complete=True)
        yield from self._ready(self._factor or 1.0)
        if self._edges is not None and len(rest := self._edges.finish()):
            yield AudioChunk.of(rest, self._rate, self._span)
        if self._word is not None:
            yield self._word
        if self._segment:
            begin, end = span = self._say.origin.span
            yield Mark(
                kind="segment",
                start=self._start,
                end=self._start + self.heard.seconds,
                text=self._source[begin:end],
                span=span,
                speaker=self._say.speaker,
            )

    def _hear(self, chunk: AudioChunk) -> None:
        samples = self.heard.hear(chunk)
        if self.heard.finite:
            self._levels.hear(self._say.voice, samples, chunk.sample_rate)
        else:
            self._factor = 1.0  # do not scale it: it will be refused
        self._held.append(chunk)

    def _ready(self, factor: float) -> Iterator[AudioChunk | Mark]:
        while self._held:
            event = self._held.popleft()
            if isinstance(event, Mark):
                yield event
                continue
            if self._edges is None:
                self._rate = event.sample_rate
                self._edges = Edges(self._rate, fade_in=self._fades[0], fade_out=self._fades[1])
            self._span = self._say.origin.back(event.span) if event.span is not None else None
            samples = self._edges.feed(amplify(np.frombuffer(event.pcm, "<f4"), factor))
            if len(samples):
                yield AudioChunk.of(samples, event.sample_rate, self._span)

    def _translated(self, mark: Mark) -> Iterator[Mark]:
        """Yield `mark` in the answer's time and the caller's text; join the marks of a word that became several."""
        speaker = self._say.speaker
        span, text = mark.span, mark.text
        if span is not None:
            if self._turns:
                speaker = self._turns[self._say.origin.line_at(span[0])].speaker
            span = self._say.origin.back(span)
            text = self._source[span[0] : span[1]] if text else text
        mark = replace(
            mark, start=self._start + mark.start, end=self._start + mark.end, text=text, span=span, speaker=speaker
        )
        before, self._word = self._word, None
        if before is not None and (before.kind, before.span) == (mark.kind, mark.span):
            mark = replace(mark, start=before.start)
        elif before is not None:
            yield before
        if mark.kind == "word" and span is not None and not self._say.origin.same:
            self._word = mark
        else:
            yield mark
