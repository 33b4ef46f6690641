"""The segments of a text, whole or while it arrives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from hub.text.arriving import ArrivingSentences
from hub.text.positions import compared
from hub.text.sentences import Sentence, split_sentences
from hub_fish_speech.text.cleaning import clean_text
from hub_fish_speech.text.dialogue import SPEAKER, tagged_segments
from hub_fish_speech.text.sentences import Segment, group_sentences
from hub_fish_speech.text.splitting import split_text
from hub_fish_speech.variants import Variant


def segments_of(text: str, variant: Variant, limit: int) -> list[Segment]:
    """The segments of `text`, of about `limit` bytes each; none if nothing in it can be said."""
    if variant.name in ("v1_4", "v1_5"):
        return list(_located(split_text(text, limit, variant), text, variant))
    if variant.dialogue and SPEAKER.search(text):
        return list(tagged_segments(text, limit))
    return list(group_sentences(split_sentences(text, None), text, limit))


def arriving_segments(pieces: Iterator[str], variant: Variant, limit: int) -> Iterator[Segment]:
    """The segments of a text that arrives in pieces: at least one for each sentence, as soon as it is complete.

    With S2, a sentence without a speaker tag belongs to the speaker of the one before it.
    """
    tag = ""
    for sentence in _sentences(pieces):
        tags = list(SPEAKER.finditer(sentence.text)) if variant.dialogue else []
        before = "" if tags and tags[0].start() == 0 else tag
        tag = tags[-1][0] if tags else tag
        for text, span in segments_of(before + sentence.text, variant, limit):
            shift = sentence.start - len(before)
            yield Segment(text, (max(sentence.start, span[0] + shift), span[1] + shift) if span else None)


def _sentences(pieces: Iterator[str]) -> Iterator[Sentence]:
    arriving = ArrivingSentences()
    for piece in pieces:
        yield from arriving.feed(piece)
    yield from arriving.flush()


def _located(segments: Iterable[str], text: str, variant: Variant) -> Iterator[Segment]:
    """Segments of the cleaned text with their positions in the text before it was cleaned."""
    cleaned = compared(text, clean_text(text, variant))
    at = 0
    for segment in segments:
        start = cleaned.text.index(segment, at)
        at = start + len(segment)
        yield Segment(segment, cleaned.positions.back((start, at)))
