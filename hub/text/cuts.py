"""Cutting text that is too long: at clause marks, else at spaces, else between characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_CLAUSE_END = re.compile(r"[,;:](?=\s)|[、，；：،؛—–…。！？.!?](?![\w.!?…。！？])[\"'”’»)\]」』）】]*")
_SPACE = re.compile(r"\s+")


def cut_long(text: str, start: int, end: int, max_chars: int) -> Iterator[tuple[int, int]]:
    """Yield spans of at most `max_chars` that cover `text[start:end]`, without the whitespace at the cuts.

    Only one character with its combining marks may be longer. `text[start]` and `text[end - 1]` are not spaces.
    """
    while end - start > max_chars:
        cut = _cut_before(text, start, start + max_chars)
        if cut >= end:
            break
        stop = cut
        while text[stop - 1].isspace():
            stop -= 1
        yield start, stop
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if start < end:
        yield start, end


def _cut_before(text: str, start: int, limit: int) -> int:
    """Return the best position to cut in (start, limit], or one past it if a single character is longer than that."""
    clause = _last_end(_CLAUSE_END, text, start + (limit - start) // 4, limit)  # sooner would leave a scrap
    if clause is not None and is_boundary(text, clause):
        return clause
    if text[limit].isspace():
        return limit
    space = _last_end(_SPACE, text, start + 1, limit)
    if space is not None and is_boundary(text, space):
        return space
    cut = limit
    while cut > start and not is_boundary(text, cut):
        cut -= 1
    if cut > start:
        return cut
    cut = limit
    while cut < len(text) and not is_boundary(text, cut):
        cut += 1
    return cut


def _last_end(pattern: re.Pattern[str], text: str, start: int, limit: int) -> int | None:
    end = None
    for found in pattern.finditer(text, start, limit):
        end = found.end()
    return end


def is_boundary(text: str, at: int) -> bool:
    """Return True if a cut before `text[at]` splits no character: no combining mark, joiner or surrogate pair."""
    if at <= 0 or at >= len(text):
        return True
    before, after = text[at - 1], text[at]
    if unicodedata.category(after)[0] == "M" or after in "\u200c\u200d" or before == "\u200d":
        return False
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return False  # skin tones and tags
    if "\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff":
        return False
    return not "\u1160" <= after <= "\u11ff"  # a Hangul syllable written in letters
