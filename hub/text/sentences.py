"""Sentences of English, Chinese, Japanese, Korean and mixed text, with their positions in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from hub.text.cuts import cut_long, is_boundary
from hub.text.speakable import is_speakable


class Sentence(NamedTuple):
    """`text` is `original[start:end]`."""

    text: str
    start: int
    end: int


_FULL = "。！？｡．‼⁇⁈⁉؟۔।॥።፧།။។"
"""Marks that end a sentence whatever follows."""

_CLOSERS = "\"'”’»›)\\]}」』）】〉》〕｣］｝"

# Where a sentence may end: a run of marks with the closing quotes and brackets after it, or a run of line ends.
_CANDIDATE = re.compile(rf"(?P<marks>[.!?…{_FULL}]+)(?P<closers>[{_CLOSERS}]*)|\n\s*")

_WORD_BEFORE = re.compile(r"[^\W_](?:[^\W_]|[.'’-])*\Z")
_INITIALS = re.compile(r"[A-Z](?:\.[A-Z])*")
_LOOK_BACK = 24

_OPENERS = "\"'“‘«‹([{「『（【〈《"
_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_IS_CJK = re.compile(f"[{_CJK}]")
_HIRAGANA = re.compile("[\u3041-\u309f]")


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_TITLES = _words(
    "mr mrs ms mx dr prof rev hon st mt ft gen col lt sgt capt cmdr adm maj sen rep gov pres supt messrs mme mlle "
    "vs approx cf e.g i.e viz al fig figs eq eqs ch sec vol vols pp ed eds dept est resp"
)
"""After these a full stop never ends a sentence."""

_MAY_END = _words("etc inc ltd co corp jr sr bros a.m p.m ph.d b.a m.a")
"""After these a full stop before a lower-case letter does not end one."""

_BEFORE_NUMBER = _words("no nos nr p art para jan feb mar apr jun jul aug sep sept oct nov dec")
"""After these a full stop before a number does not end one."""


def split_sentences(text: str, max_chars: int | None = None) -> list[Sentence]:
    """Return the sentences of `text`, in order, without the whitespace around them; nothing else is lost or added.

    A sentence that has nothing to say (`...`, an emoji) is joined to its neighbour. With `max_chars`, longer sentences
    are cut at clause marks, else at spaces, else anywhere except inside a character with its combining marks; only
    such a character may exceed the limit. Raises ValueError for `max_chars` under 1.
    """
    if max_chars is not None and max_chars < 1:
        raise ValueError("max_chars must be at least 1")
    spans = _join_mute(text, _trimmed(text, _ends(text)))
    if max_chars is not None:
        spans = [piece for start, end in spans for piece in cut_long(text, start, end, max_chars)]
    return [Sentence(text[start:end], start, end) for start, end in spans]


def _ends(text: str) -> Iterator[int]:
    """Yield the positions where sentences end, ascending; the last is the end of the text."""
    sentence_start = 0
    for found in _CANDIDATE.finditer(text):
        if found["marks"] is None:
            ends = _line_ends_sentence(text, found.start(), found.end())
        else:
            ends = _mark_ends_sentence(text, found, sentence_start)
        if ends:
            sentence_start = _whole_character(text, found.end())
            yield sentence_start
    yield len(text)


def _whole_character(text: str, at: int) -> int:
    """Return `at`, moved past marks of the character before it: ‼ may be an emoji, with a variation selector."""
    while not is_boundary(text, at):
        at += 1
    return at


def _trimmed(text: str, ends: Iterator[int]) -> Iterator[tuple[int, int]]:
    """Yield the spans between `ends`, without the whitespace around them; leave out empty ones."""
    start = 0
    for end in ends:
        next_start = end
        while start < end and text[start].isspace():
            start += 1
        while start < end and text[end - 1].isspace():
            end -= 1
        if start < end:
            yield start, end
        start = next_start


def _join_mute(text: str, spans: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans that have nothing to say to the span before them, or at the beginning to the one after."""
    joined: list[tuple[int, int]] = []
    last_speaks = False
    for start, end in spans:
        speaks = is_speakable(text[start:end])
        if joined and not (speaks and last_speaks):
            joined[-1] = (joined[-1][0], end)
            last_speaks = last_speaks or speaks
        else:
            joined.append((start, end))
            last_speaks = speaks
    return joined


def _line_ends_sentence(text: str, start: int, end: int) -> bool:
    """Return True unless the next line continues in lower case, as prose does that was wrapped by hand."""
    if end == len(text) or text.count("\n", start, end) > 1:
        return True
    last = text[max(0, start - _LOOK_BACK) : start].rstrip()[-1:]
    return not (text[end].islower() and (last.isalnum() or last in tuple(",;-–—'’\")")))


def _mark_ends_sentence(text: str, found: re.Match[str], sentence_start: int) -> bool:
    marks, closers = found["marks"], found["closers"]
    after = text[found.end() : found.end() + 1]
    if not after:
        return True
    if closers and closers[-1] in "」』｣" and _HIRAGANA.match(after):
        return False  # 「はい。」と言った
    if any(mark in _FULL for mark in marks):
        return not ("．" in marks and after.isdigit())
    if not after.isspace():
        return bool(_IS_CJK.match(after)) and "…" not in marks and ".." not in marks
    opening = _next_visible(text, found.end())
    if not opening or opening == "\n":
        return True
    if "!" in marks or "?" in marks:
        return not (closers and opening.islower())
    if opening.islower() and (marks != "." or not _next_visible(text, sentence_start).islower()):
        return False  # an abbreviation, unless the whole text is in lower case
    return marks != "." or bool(closers) or _full_stop_ends_sentence(text, found.start(), opening, sentence_start)


def _next_visible(text: str, at: int) -> str:
    """Return the first character of the next word, past opening quotes; a newline if the line ends before it."""
    limit = min(len(text), at + 64)  # a wider space is not an ordinary gap
    while at < limit and (text[at].isspace() or text[at] in _OPENERS):
        if text[at] == "\n":
            return "\n"
        at += 1
    return text[at] if at < limit else ""


def _full_stop_ends_sentence(text: str, at: int, opening: str, sentence_start: int) -> bool:
    """Return True if a single `.` ends a sentence, with a space and then `opening` after it."""
    before = text[max(sentence_start, at - _LOOK_BACK) : at]
    word = _WORD_BEFORE.search(before)
    if word is None:
        return True
    low = word[0].lower()
    if low in _TITLES or (low in _BEFORE_NUMBER and opening.isdigit()):
        return False
    if opening.islower() and low in _MAY_END:
        return False
    if word[0] != "I" and _INITIALS.fullmatch(word[0]):
        return False  # J. Smith, the U.S. Army: better too long a sentence than one that ends inside a name
    if low.isdigit() and len(low) <= 3:
        return bool(text[sentence_start : at - len(low)].strip()) if at - sentence_start < _LOOK_BACK else True
    return True
