"""The script of a request: the lines to say, their speakers, and the silences between them.

`read` needs the request alone: it splits texts at their pauses and rewrites them (text filters first, then
pronunciations), and keeps the positions in the caller's text. `pieces` needs the loaded model: one that speaks
dialogues gets all turns at once; for any other each turn is a request of its own.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

from msgspec.structs import replace

from hub.contract.backend import Loaded
from hub.contract.errors import InvalidRequest, TooLarge, UnsupportedCapability
from hub.contract.event import Span
from hub.contract.speech import CastVoice, ResolvedRequest, SpeechRequest
from hub.plugin.filters import TextFilter
from hub.service.models.model import default_preset
from hub.service.speech.seeds import derive_seed
from hub.text.pauses import Pause, Stretch, split_pauses
from hub.text.positions import Positions, compared, substitute
from hub.text.pronunciations import Pronunciations
from hub.text.speakable import clean, is_speakable, nothing_to_speak

GAP = 0.3
"""Seconds of silence between two turns, if the request has no `gap`."""

LONGEST_SILENCE = 3600.0
"""Maximum seconds of all pauses and gaps of one request together."""


class Line(NamedTuple):
    """A text between two pauses, as a model will read it; `start` and `end` are its position in the source."""

    text: str
    turn: int
    start: int
    end: int
    ways: tuple[Positions, ...]


class Silence(NamedTuple):
    """A number of seconds of silence."""

    seconds: float


class Script(NamedTuple):
    """`lines` in order, with the pauses between them. Positions count in `source`, the cleaned text of the request."""

    source: str
    lines: tuple[Line | Silence, ...]


class Origin:
    """The map from positions in a model's text, which is these lines joined by newlines, to positions in the source."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines: list[tuple[int, Line]] = []  # with the position of each in the text
        position = 0
        for line in lines:
            self._lines.append((position, line))
            position += len(line.text) + 1
        self.span = lines[0].start, lines[-1].end
        self.same = all(position == line.start and not line.ways for position, line in self._lines)

    def back(self, span: Span) -> Span:
        """Return the span of the source for a `span` of the model's text."""
        return self._back(span, span[0])[0], self._back(span, max(span[0], span[1] - 1))[1]

    def line_at(self, position: int) -> int:
        """Return the number of the line, from 0, at `position` of the model's text."""
        return max(0, bisect_right(self._lines, position, key=itemgetter(0)) - 1)

    def _back(self, span: Span, position: int) -> Span:
        begin, line = self._lines[self.line_at(position)]
        found = max(0, span[0] - begin), min(len(line.text), span[1] - begin)
        for way in reversed(line.ways):
            found = way.back(found)
        return line.start + found[0], line.start + found[1]


class Say(NamedTuple):
    """One request to the model; `speaker` is None if the request has no speaker or several."""

    request: ResolvedRequest
    origin: Origin
    speaker: str | None

    @property
    def voice(self) -> str | None:
        """The key of its voice among those of the script."""
        return self.request.voice or self.speaker


def read(request: SpeechRequest, filters: Sequence[TextFilter], pronunciations: Pronunciations, longest: int) -> Script:
    """Return the script of a request, of at most `longest` characters.

    Raises InvalidRequest for a misspelt pause, EmptyText, UnspeakableText, TooLarge.
    """
    texts = [clean(turn.text) for turn in request.turns] or [clean(request.text or "")]
    found: list[Line | Silence] = []
    offset, left = 0, longest
    for turn, text in enumerate(texts):
        lines: list[Line | Silence] = []
        for part in split_pauses(text):
            if isinstance(part, Pause):
                lines.append(Silence(part.seconds))
                continue
            if part.text != text:
                part = _trimmed(part)
            words, ways = _rewritten(part.text, request, filters, pronunciations, left)
            left -= len(words)
            lines.append(Line(words, turn, offset + part.start, offset + part.end, ways))
        found += _speakable(lines)
        offset += len(text) + 1
    return Script("\n".join(texts), tuple(found))


def _trimmed(stretch: Stretch) -> Stretch:
    start = stretch.start + len(stretch.text) - len(stretch.text.lstrip())
    text = stretch.text.strip()
    return Stretch(text, start, start + len(text))


def _rewritten(
    text: str, request: SpeechRequest, filters: Sequence[TextFilter], pronunciations: Pronunciations, longest: int
) -> tuple[str, tuple[Positions, ...]]:
    ways = []
    for text_filter in filters:
        text, way = compared(text, text_filter.filter(text, request))
        ways.append(way)
    found = list(pronunciations.find(text))
    if len(text) + sum(len(spelling) - (end - start) for start, end, spelling in found) > longest:
        raise TooLarge("the text is too long after filters and pronunciations; split it, or raise limits.text_chars")
    text, way = substitute(text, found)
    return text, tuple(way for way in (*ways, way) if way)


def _speakable(lines: list[Line | Silence]) -> list[Line | Silence]:
    """Drop the lines without words, such as an ellipsis between two pauses. Raises EmptyText, UnspeakableText."""
    kept = [line for line in lines if isinstance(line, Silence) or is_speakable(line.text)]
    if not any(isinstance(line, Line) for line in kept):
        raise nothing_to_speak(blank=not any(isinstance(line, Silence) or line.text.strip() for line in lines))
    return kept


def pieces(script: Script, request: ResolvedRequest, model: str, loaded: Loaded) -> list[Say | Silence]:
    """Return the requests to the model, and the silences. `request` is resolved.

    Raises UnsupportedCapability for a gap that the model would ignore, InvalidRequest for too much silence.
    """
    can, gap = loaded.capabilities, request.gap
    if request.pronunciations or request.dictionary is not None or gap is not None:
        request = replace(request, pronunciations={}, dictionary=None, gap=None)
    if not request.turns or can.dialogue:
        if request.turns and gap is not None:
            raise UnsupportedCapability(
                f"model {model!r} speaks a dialogue as a whole and chooses its gaps: leave `gap` out, "
                "or set [pause:500ms] where you want one",
                model=model,
                capability="dialogue",
            )
        found = list(_in_one_go(script, request))
    else:
        found = list(_turn_by_turn(script, request, GAP if gap is None else gap, default_preset(loaded)))
    silence = sum(piece.seconds for piece in found if isinstance(piece, Silence))
    if silence > LONGEST_SILENCE:
        raise InvalidRequest(
            f"the pauses and gaps last {silence:.0f} seconds together, the limit is {LONGEST_SILENCE:.0f}; shorten them"
        )
    return found


def _in_one_go(script: Script, request: ResolvedRequest) -> Iterator[Say | Silence]:
    """Yield one request for the lines between two pauses: a text, or several turns."""
    number = 0
    for silent, group in groupby(script.lines, lambda line: isinstance(line, Silence)):
        if silent:
            yield from (line for line in group if isinstance(line, Silence))
            continue
        lines = [line for line in group if isinstance(line, Line)]
        said = replace(request, seed=_seed(request, number))
        if request.turns:
            said.turns = tuple(replace(request.turns[line.turn], text=line.text) for line in lines)
        else:
            said.text = lines[0].text
        speakers = {turn.speaker for turn in said.turns}
        yield Say(said, Origin(lines), speakers.pop() if len(speakers) == 1 else None)
        number += 1


def _turn_by_turn(script: Script, request: ResolvedRequest, gap: float, default_voice: str) -> Iterator[Say | Silence]:
    """Yield one request for each line, with the voice of its turn."""
    number, before = 0, 0
    for line in script.lines:
        if isinstance(line, Silence):
            yield line
            continue
        turn = request.turns[line.turn]
        if line.turn != before and gap:
            yield Silence(gap)
        before = line.turn
        cast = request.cast.get(turn.speaker or "", CastVoice())
        said = replace(
            request,
            text=line.text,
            turns=(),
            cast={},
            voice=cast.voice or (None if cast.references or cast.prepared else default_voice or None),
            references=cast.references,
            prepared=cast.prepared,
            instruct=turn.instruct if turn.instruct is not None else request.instruct,
            seed=_seed(request, number),
        )
        yield Say(said, Origin([line]), turn.speaker)
        number += 1


def _seed(request: ResolvedRequest, number: int) -> int | None:
    """Return the request's own seed for the first piece, and a derived one for each further piece."""
    if request.seed is None or number == 0:
        return request.seed
    return derive_seed(request.seed, number)
