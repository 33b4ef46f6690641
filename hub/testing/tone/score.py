"""Scores: the waves of a text, chunk by chunk, with the span of text that each plays."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from hub.contract.event import Mark, Span
from hub.testing.tone.symbols import SAMPLE_RATE, SYMBOL, Wave, symbol_length, symbols

Score = Iterator[tuple[Wave, Span | None]]


def score_of(text: str, speed: float, chunk_ms: int, chars: int = 0) -> Score:
    """Yield the symbols of `text`, chunk by chunk, with the span that they play; `chars` characters came before it.

    The first two symbols of a whole text give the length of the others.
    """
    length = symbol_length(speed)
    waves, data = symbols(length), np.frombuffer(text.encode("utf-8"), dtype=np.uint8)
    header = symbols(SYMBOL)[np.frombuffer(length.to_bytes(2, "big"), dtype=np.uint8)].ravel()
    per_chunk = max(1, round(chunk_ms * SAMPLE_RATE / 1000 / length))
    if chars:
        header = header[:0]
    for start in range(0, len(data), per_chunk):
        part = data[start : start + per_chunk]
        wave = waves[part].ravel()
        begins = int(np.count_nonzero((part & 0xC0) != 0x80))  # all bytes except those that continue a character
        yield (wave if start else np.concatenate([header, wave])), (max(0, chars - (begins == 0)), chars + begins)
        chars += begins


def live_score(pieces: Iterator[str], speed: float, chunk_ms: int) -> Score:
    """Yield the score of each piece as it arrives."""
    chars = 0
    for piece in pieces:
        yield from score_of(piece, speed, chunk_ms, chars)
        chars += len(piece)


def hum(seconds: float, chunk_ms: int) -> Score:
    """Yield chunks without symbols, which leave only the hum of the voice."""
    left, size = round(seconds * SAMPLE_RATE), max(1, chunk_ms * SAMPLE_RATE // 1000)
    nothing = np.zeros(size, dtype=np.float32)
    while left > 0:
        yield nothing[: min(size, left)], None
        left -= size


def word_marks(text: str, speed: float) -> list[Mark]:
    """Return a mark for each word of the score of `text`."""
    symbol = symbol_length(speed) / SAMPLE_RATE
    marks, begin, chars = [], 2 * SYMBOL / SAMPLE_RATE, 0
    for word in re.finditer(r"\S+", text):
        begin += len(text[chars : word.start()].encode()) * symbol
        end = begin + len(word.group().encode()) * symbol
        marks.append(Mark(kind="word", start=begin, end=end, text=word.group(), span=word.span()))
        begin, chars = end, word.end()
    return marks
