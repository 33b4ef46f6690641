"""Splitting, as 1.x was used with it: by bytes of UTF-8."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator
from itertools import pairwise

from hub_fish_speech.text.cleaning import clean_text
from hub_fish_speech.text.sentences import byte_length
from hub_fish_speech.variants import Variant

_SENTENCE_ENDS, _COMMAS = ".!?。！？", ",，"


def split_text(text: str, limit: int, variant: Variant) -> list[str]:
    """`text`, cleaned, in segments of about `limit` bytes of UTF-8.

    Cuts after sentences, else after commas, else after spaces, else anywhere; a segment may exceed `limit` by less than
    one character. Segments that hold only spaces and ASCII punctuation are left out.
    """
    text = clean_text(text, variant)
    pieces = _cut_after(_cut_into_sentences(text, limit), limit, _COMMAS)
    pieces = _cut_after(pieces, limit, " ")
    pieces = [part for piece in pieces for part in _cut_by_bytes(piece, limit)]
    segments: list[str] = []
    current = ""
    for piece in pieces:
        if byte_length(current) + byte_length(piece) <= limit:
            current += piece
        else:
            segments.append(current)
            current = piece
    segments.append(current)
    return [stripped for segment in segments if _has_words(stripped := segment.strip())]


def _has_words(text: str) -> bool:
    return any(not character.isspace() and character not in string.punctuation for character in text)


def _cut_into_sentences(text: str, limit: int) -> list[str]:
    """`text`, if it is over `limit` bytes, cut after each end of a sentence, but not within a decimal number.

    The vendor's code replaces each decimal point by five characters, which all count. Of `2.0.1` it replaces only the
    first point.
    """
    numbers = [found.end(1) for found in re.finditer(r"(\d+)\.(\d+)", text)]
    if byte_length(text) + 4 * len(numbers) <= limit:
        return [text]
    return _cut_at(text, {at for at, character in enumerate(text) if character in _SENTENCE_ENDS} - set(numbers))


def _cut_after(pieces: Iterable[str], limit: int, ends: str) -> list[str]:
    """Pieces over `limit` bytes, cut after each of `ends`."""
    cut: list[str] = []
    for piece in pieces:
        short = byte_length(piece) <= limit
        cut += [piece] if short else _cut_at(piece, {at for at, character in enumerate(piece) if character in ends})
    return cut


def _cut_at(text: str, positions: set[int]) -> list[str]:
    """`text`, cut after the characters at these positions."""
    ends = [position + 1 for position in sorted(positions)]
    return [text[start:end] for start, end in pairwise([0, *ends, len(text)]) if start < end]


def _cut_by_bytes(piece: str, limit: int) -> Iterator[str]:
    """`piece`, cut as soon as a part has `limit` bytes."""
    if byte_length(piece) <= limit:
        yield piece
        return
    part, size = "", 0
    for character in piece:
        part += character
        size += byte_length(character)
        if size >= limit:
            yield part
            part, size = "", 0
    if part:
        yield part
