"""Rewritten texts, and the way from their positions back to the text before."""

from __future__ import annotations

import difflib
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hub.contract.event import Span


class Change(NamedTuple):
    """`after[start:end]` replaces `before[old_start:old_end]`."""

    old_start: int
    old_end: int
    start: int
    end: int


class Positions:
    """The way back from a text to the one it was made from. Between the `changes` (ascending) both are equal."""

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self._changes = list(changes)
        self._starts = [change.start for change in self._changes]

    def __bool__(self) -> bool:
        """Return True if anything changed."""
        return bool(self._changes)

    def back(self, span: Span) -> Span:
        """Return the span of the old text that `span` of the new one stands for; a changed part counts as a whole."""
        start, end = span
        start = self._position(start, bisect_right(self._starts, start) - 1, end=False)
        return start, max(start, self._position(end, bisect_left(self._starts, end) - 1, end=True))

    def _position(self, position: int, index: int, *, end: bool) -> int:
        if index < 0:
            return position
        change = self._changes[index]
        if position > change.end or (position == change.end and not end):
            return change.old_end + position - change.end
        return change.old_end if end else change.old_start


class Rewritten(NamedTuple):
    """A text, and the way back from it."""

    text: str
    positions: Positions


def substitute(text: str, replacements: Iterable[tuple[int, int, str]]) -> Rewritten:
    """Replace `text[start:end]` by `words`, for each (start, end, words) in ascending order."""
    parts: list[str] = []
    changes: list[Change] = []
    at = length = 0
    for start, end, words in replacements:
        parts += [text[at:start], words]
        length += start - at
        changes.append(Change(start, end, length, length + len(words)))
        at, length = end, length + len(words)
    return Rewritten("".join([*parts, text[at:]]), Positions(changes))


_WIDE = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"[{_WIDE}]|[^\W{_WIDE}]+|\s+|.", re.S)

_WINDOW = 24
"""The longest replacement, in tokens, that can still be told apart from the text after it."""

_AGREED = 3
"""Tokens in a row that must be equal before two texts count as the same again."""


def compared(before: str, after: str) -> Rewritten:
    """Return `after`, a rewriting of `before`, with the way back as far as a comparison of their words shows it."""
    if before == after:
        return Rewritten(after, Positions())
    old, new = list(_TOKEN.finditer(before)), list(_TOKEN.finditer(after))
    old_words, new_words = [token[0] for token in old], [token[0] for token in new]
    old_starts = [*(token.start() for token in old), len(before)]
    new_starts = [*(token.start() for token in new), len(after)]
    changes: list[Change] = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old_words[i] == new_words[j]:
            i, j = i + 1, j + 1
            continue
        left, right = _next_agreement(old_words, new_words, i, j)
        for a, b, c, d in _differences(old_words[i:left], new_words[j:right]):
            changes.append(Change(old_starts[i + a], old_starts[i + b], new_starts[j + c], new_starts[j + d]))
        i, j = left, right
    return Rewritten(after, Positions(changes))


def _differences(old: list[str], new: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield (start, end, new start, new end) of each difference between two short lists; of long ones, the whole."""
    if min(len(old), len(new)) < 2 or max(len(old), len(new)) > 2 * _WINDOW:
        yield 0, len(old), 0, len(new)
        return
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            yield a, b, c, d


def _next_agreement(old: list[str], new: list[str], i: int, j: int) -> tuple[int, int]:
    """Return the nearest positions from which both continue the same, else those where their common ends begin."""
    for skipped in range(1, 2 * _WINDOW):
        for left in range(max(0, skipped - _WINDOW), min(skipped, _WINDOW) + 1):
            a, b = i + left, j + skipped - left
            if a > len(old) or b > len(new):
                continue
            if old[a : a + _AGREED] == new[b : b + _AGREED] and (a < len(old) or b == len(new)):
                return a, b
    same = 0
    while same < min(len(old) - i, len(new) - j) and old[-1 - same] == new[-1 - same]:
        same += 1
    return len(old) - same, len(new) - same
