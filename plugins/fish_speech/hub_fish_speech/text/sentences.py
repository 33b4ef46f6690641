"""Segment, and segments of whole sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hub.contract import Span
from hub.text.sentences import Sentence, split_sentences
from hub.text.speakable import is_speakable


class Segment(NamedTuple):
    """A piece that is spoken in one go: `text` as the model reads it, and its position in the request's text."""

    text: str
    span: Span | None = None


def byte_length(text: str) -> int:
    """Bytes of `text` in UTF-8."""
    return len(text.encode("utf-8", "surrogatepass"))


def group_sentences(sentences: Iterable[Sentence], text: str, limit: int) -> Iterator[Segment]:
    """Neighbouring sentences of `text` together, up to `limit` bytes; longer sentences are cut."""
    start = end = -1
    for sentence in _short_enough(sentences, limit):
        if start >= 0 and byte_length(text[start : sentence.end]) > limit:
            yield Segment(text[start:end], (start, end))
            start = -1
        if start < 0:
            start = sentence.start
        end = sentence.end
    if start >= 0 and is_speakable(text[start:end]):
        yield Segment(text[start:end], (start, end))


def _short_enough(sentences: Iterable[Sentence], limit: int) -> Iterator[Sentence]:
    """Sentences of at most about `limit` bytes; longer ones are cut at clauses, at spaces, or anywhere."""
    for sentence in sentences:
        size = byte_length(sentence.text)
        if size <= limit:
            yield sentence
            continue
        most = max(1, limit * len(sentence.text) // size)
        for part, start, end in split_sentences(sentence.text, most):
            yield Sentence(part, sentence.start + start, sentence.start + end)
