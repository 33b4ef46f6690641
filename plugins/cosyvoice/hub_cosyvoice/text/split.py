"""A normalised text -> segments of a length that the models speak well.

Lengths are characters in Chinese and token ids in other languages. The rule is the models' own: sentences are joined
until a segment is over `ENOUGH` and the next sentence would take it over `MOST`; a last segment under `LITTLE` joins
the one before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import regex

MOST, ENOUGH, LITTLE = 80, 60, 20

ENDS_CHINESE = frozenset("。？！；：、.?!;")
ENDS_OTHER = frozenset(".?!;:")
"""Characters that end a sentence. A comma does not."""

CLOSING = frozenset('"”')
"""Quotation marks that belong to the sentence before them."""

LONGEST, LONGEST_LATIN = 300, 600
"""Characters of a segment, and of one without East Asian characters, where `MOST` ids may be over 300 characters. The
longer segments of the rule above are cut at a clause or a space."""

_SILENT = regex.compile(r"[\p{P}\p{S}]*")
_EAST_ASIAN = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]")
_CLAUSE = regex.compile(r"[,，、;；:：)）\]】—…]\s*|\s+")

Length = Callable[[str], int]


def split(text: str, *, chinese: bool, length: Length) -> list[str]:
    """The segments of `text`, which is not empty; pieces without anything to say are left out."""
    ends = ENDS_CHINESE if chinese else ENDS_OTHER
    if text[-1] not in ends:
        text += "。" if chinese else "."
    return [segment for segment in _merge(list(_sentences(text, ends)), length) if not is_silent(segment)]


def is_silent(text: str) -> bool:
    """True if `text` is nothing but punctuation and symbols."""
    return _SILENT.fullmatch(text) is not None


def bounded(segment: str) -> list[str]:
    """`segment` in parts of at most `LONGEST` (`LONGEST_LATIN`) characters, cut after clauses or words if possible."""
    longest = LONGEST if _EAST_ASIAN.search(segment) else LONGEST_LATIN
    parts: list[str] = []
    while len(segment) > longest:
        cuts = [cut.end() for cut in _CLAUSE.finditer(segment, longest // 3, longest)]
        cut = cuts[-1] if cuts else longest
        parts.append(segment[:cut])
        segment = segment[cut:]
    return [part for part in (*parts, segment) if part.strip()]


def _sentences(text: str, ends: frozenset[str]) -> Iterator[str]:
    """Each sentence with its end and a closing quotation mark; an end directly after an end is dropped."""
    found = [index for index, char in enumerate(text) if char in ends]
    start = 0
    held = ""
    for end, following in pairwise([*found, len(text)]):
        if end > start:
            if held:
                yield held
            held = text[start : end + 1]
        start = end + 1
        if following > end + 1 and text[end + 1] in CLOSING and held:
            held += text[end + 1]
            start += 1
    if held:
        yield held


def _merge(sentences: list[str], length: Length) -> list[str]:
    merged = [""]
    for sentence in sentences:
        last = merged[-1]
        if length(last) > ENOUGH and length(last + sentence) > MOST:
            merged.append(sentence)
        else:
            merged[-1] += sentence
    if len(merged) > 1 and length(merged[-1]) < LITTLE:
        merged[-2:] = ["".join(merged[-2:])]
    return [segment for segment in merged if segment]
