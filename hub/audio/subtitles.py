"""Marks to subtitles: SRT and WebVTT.

A cue is a sentence, or a part of one that is longer than two lines or seven seconds. A line has 42 columns, or 16
ideographs. A cue begins and ends with its words; one that is too short to read stays longer unless another follows at
once. Cues never overlap.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from hub.contract.event import Mark

LINES = 2
COLUMNS, WIDE_COLUMNS = 42, 32
"""Columns of a line of letters, and of a line of mostly ideographs, which take two columns each."""

LONGEST = 7.0
"""Seconds of a cue, unless one word lasts longer."""

SHORTEST = 1.0
READING = 20.0
"""A cue lasts at least SHORTEST seconds, and long enough to read READING columns per second, if there is time."""

PAUSE = 0.7
"""Seconds of silence between words that end a cue, if there are marks for words only."""

_WIDE = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_OPEN = "「『（【〈《〔［｛“‘"
_WORD = re.compile(rf"[{_OPEN}]*[{_WIDE}](?:[^\w\s{_OPEN}]|[ーゝゞ々])*|[^\s{_WIDE}]+")
"""A word: the text between spaces; in scripts without spaces, one character with its punctuation."""

_CLAUSE_END = re.compile(r"[,;:.!?…—、，；：。！？)」』）”]['\"’”]*$")
_SENTENCE_END = re.compile(r"[.!?…。！？]['\"’”)」』）]*$")
_BREAK = re.compile(
    rf"\s+|(?<=[^\s{_OPEN}])(?=[{_OPEN}]?(?![ーゝゞ々っゃゅょッャュョ])[\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff])"
)
_SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


class Cue(NamedTuple):
    """`lines` are shown from `start` to `end`, in seconds; `speaker` says them, in a dialogue."""

    start: float
    end: float
    lines: tuple[str, ...]
    speaker: str | None = None


def subtitles(marks: Iterable[Mark], format: str) -> str:
    """Return a whole `srt` or `vtt` file for the marks of one speech. Raises ValueError for another format."""
    if format not in ("srt", "vtt"):
        raise ValueError(f"unknown subtitle format {format!r}; choose srt or vtt")
    cues = make_cues(marks)
    return to_srt(cues) if format == "srt" else to_vtt(cues)


def make_cues(marks: Iterable[Mark]) -> list[Cue]:
    """Return the cues for a speech's marks of sentences, else of segments, else of words.

    Marks of words give the times of a sentence's parts; without them the parts are spread over the sentence.
    """
    marks = sorted(marks, key=lambda mark: (mark.start, mark.end))
    words = [mark for mark in marks if mark.kind == "word" and mark.text.strip()]
    wholes = [mark for mark in marks if mark.kind == "sentence"] or [mark for mark in marks if mark.kind == "segment"]
    cues = []
    for whole in wholes or _phrases(words):
        inside = [word for word in words if whole.start - 1e-3 <= word.start and word.end <= whole.end + 1e-3]
        placed = _placed(whole, inside) or _placed(whole, word_marks(whole))
        cues += [
            _cue(whole, part) for part in _split(whole.text, [snippet for word in placed for snippet in _chop(word)])
        ]
    return _readable(cues)


def to_srt(cues: Iterable[Cue]) -> str:
    """Return SubRip. An invisible character breaks up text that readers would take for a tag or a line of times.

    In a dialogue the first line of a speaker begins with the name.
    """
    blocks = []
    speaker: str | None = None
    for number, cue in enumerate(cues, 1):
        name = f"{_plain(cue.speaker)}: " if cue.speaker and cue.speaker != speaker else ""
        speaker = cue.speaker
        lines = "".join(f"{_srt_text(line)}\n" for line in (name + cue.lines[0], *cue.lines[1:]))
        blocks.append(f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{lines}")
    return "\n".join(blocks)


def to_vtt(cues: Iterable[Cue]) -> str:
    """Return WebVTT, with a voice tag on each cue of a dialogue."""
    blocks = ["WEBVTT\n"]
    for cue in cues:
        voice = f"<v {_vtt_text(_plain(cue.speaker))}>" if cue.speaker else ""
        lines = "".join(f"{line}\n" for line in map(_vtt_text, cue.lines))
        blocks.append(f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{voice}{lines}")
    return "\n".join(blocks)


def word_marks(mark: Mark) -> list[Mark]:
    """Return an estimated mark for each word of a longer mark's text, with time in proportion to its length."""
    words = list(_WORD.finditer(mark.text))
    whole = sum(spoken_length(word[0]) for word in words)
    if not whole:
        return []
    pace, at = (mark.end - mark.start) / whole, mark.start
    offset = mark.span[0] if mark.span else 0
    marks = []
    for word in words:
        end = mark.end if word is words[-1] else at + pace * spoken_length(word[0])
        span = (offset + word.start(), offset + word.end()) if mark.span else None
        marks.append(Mark("word", at, end, word[0], span, True, mark.speaker))
        at = end
    return marks


def spoken_length(text: str) -> float:
    """Estimate how long a text takes to say, in letters; an ideograph or a digit counts as more than one."""
    return sum(map(_letters, text))


def _letters(character: str) -> float:
    if not character.isalnum():
        return 0.5
    if unicodedata.east_asian_width(character) in "WF":
        return 3.0
    return 2.0 if character.isdigit() else 1.0


class _Snippet(NamedTuple):
    """`text[begin:stop]` of the whole is said from `start` to `end`."""

    start: float
    end: float
    begin: int
    stop: int
    text: str


def _phrases(words: Sequence[Mark]) -> list[Mark]:
    """Join marks of words, up to the end of a sentence or to a pause."""
    phrases: list[Mark] = []
    open_phrase = False
    for word in words:
        last = phrases[-1] if open_phrase else None
        if last is None or word.start - last.end > PAUSE:
            phrases.append(Mark("segment", word.start, word.end, word.text))
        else:
            text = last.text + ("" if _is_wide(last.text[-1]) and _is_wide(word.text[0]) else " ") + word.text
            phrases[-1] = Mark("segment", last.start, max(last.end, word.end), text)
        open_phrase = _SENTENCE_END.search(word.text) is None
    return phrases


def _placed(whole: Mark, words: Sequence[Mark]) -> list[_Snippet]:
    """Return the words with their positions in the text of the whole; nothing if the text does not consist of them."""
    snippets: list[_Snippet] = []
    at = 0
    for word in words:
        found = whole.text.find(word.text.strip(), at)
        if found < 0:
            return []
        at = found + len(word.text.strip())
        snippets.append(_Snippet(word.start, word.end, found, at, whole.text[found:at]))
    if snippets:  # text outside the marked words joins its neighbour
        snippets[0] = snippets[0]._replace(begin=0, text=whole.text[: snippets[0].stop])
        for index, (this, after) in enumerate(pairwise(snippets)):
            snippets[index] = this._replace(stop=after.begin, text=whole.text[this.begin : after.begin])
        snippets[-1] = snippets[-1]._replace(stop=len(whole.text), text=whole.text[snippets[-1].begin :])
    return snippets


def _chop(snippet: _Snippet) -> list[_Snippet]:
    """Cut a word that is longer than a line into parts that are not."""
    limit = _line(snippet.text)
    if _columns(snippet.text.strip()) <= limit:
        return [snippet]
    cuts, width = [0], 0
    for index, character in enumerate(snippet.text):
        step = _columns(character)
        if width + step > limit and step:
            cuts.append(index)
            width = 0
        width += step
    cuts.append(len(snippet.text))
    pace = (snippet.end - snippet.start) / len(snippet.text)
    return [
        _Snippet(
            snippet.start + pace * begin,
            snippet.start + pace * stop,
            snippet.begin + begin,
            snippet.begin + stop,
            snippet.text[begin:stop],
        )
        for begin, stop in pairwise(cuts)
    ]


def _split(text: str, snippets: list[_Snippet]) -> list[list[_Snippet]]:
    """Group the snippets into cues by halving, preferably at the end of a clause."""
    if len(snippets) < 2 or (
        snippets[-1].end - snippets[0].start <= LONGEST and _wrap(text[snippets[0].begin : snippets[-1].stop])
    ):
        return [snippets] if snippets else []
    widths = [_columns(snippet.text) for snippet in snippets]
    whole, left, best, cut = sum(widths), 0, float("inf"), 1
    for index in range(1, len(snippets)):
        left += widths[index - 1]
        cost = abs(2 * left - whole) / max(whole, 1)
        if _CLAUSE_END.search(snippets[index - 1].text.rstrip()) is None:
            cost += 0.35
        if cost < best:
            best, cut = cost, index
    return _split(text, snippets[:cut]) + _split(text, snippets[cut:])


def _cue(whole: Mark, snippets: list[_Snippet]) -> Cue:
    text = whole.text[snippets[0].begin : snippets[-1].stop]
    return Cue(snippets[0].start, snippets[-1].end, _wrap(text) or (_plain(text),), whole.speaker)


def _wrap(text: str) -> tuple[str, ...]:
    """Wrap `text` to one line, or to two of similar width, preferably at a clause; return () if it does not fit."""
    text = _plain(text)
    limit = _line(text)
    if _columns(text) <= limit:
        return (text,)
    best = float("inf")
    lines: tuple[str, ...] = ()
    if _columns(text) <= LINES * limit + 1:
        for found in _BREAK.finditer(text):
            upper, lower = text[: found.start()], text[found.end() :]
            above, below = _columns(upper), _columns(lower)
            cost = abs(above - below) + (0 if _CLAUSE_END.search(upper) else limit / 4)
            if upper and lower and max(above, below) <= limit and cost < best:
                best, lines = cost, (upper, lower)
    return lines


def _readable(cues: list[Cue]) -> list[Cue]:
    """Put cues in order without overlaps, each long enough to read if there is time."""
    readable: list[Cue] = []
    for index, cue in enumerate(cues):
        start = max(cue.start, readable[-1].end if readable else 0.0)
        end = max(cue.end, start + 0.001)
        if index + 1 < len(cues):
            wanted = start + max(SHORTEST, sum(map(_columns, cue.lines)) / READING)
            end = max(end, min(wanted, cues[index + 1].start))
        readable.append(cue._replace(start=start, end=end))
    return readable


def _plain(text: str) -> str:
    """Return `text` on one line, without control characters."""
    return _SPACES.sub(" ", text).strip()


def _line(text: str) -> int:
    wide = sum(map(_is_wide, text))
    return WIDE_COLUMNS if 2 * wide > len(text.strip()) else COLUMNS


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in "WF"


def _columns(text: str) -> int:
    """Return the width of a text; combining marks take no columns."""
    if text.isascii():
        return len(text)
    return sum(2 if _is_wide(c) else 0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 1 for c in text)


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"


def _srt_text(line: str) -> str:
    line = line.replace("-->", "--\u2060>").replace("{\\", "{\u2060\\")
    return re.sub(r"<(?=[/a-zA-Z])", "<\u2060", line)


def _vtt_text(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
