"""The text front ends: cleaning and splitting of 1.x, speaker tags of S2, and how much text is spoken in one go.

1.x was used with its own cleaning and splitting, by bytes of UTF-8; `clean_text` and `split_text` do the same. S1 and
S2 take text as it is; there the hub splits by sentence. Every segment knows its place in the text.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from hub.contract import Span
from hub.text.positions import compared
from hub.text.scripts import script_of
from hub.text.sentences import Sentence, split_sentences
from hub.text.speakable import is_speakable
from hub_fish_speech.variants import Variant

SPEAKER = re.compile(r"<\|speaker:(\d+)\|>")
"""A speaker tag of S2: ordinary text to its tokenizer."""

TURNS_AT_ONCE = 5
"""Turns that S2 speaks in one go at most."""

_EMOJI = re.compile("[\U0001f600-\U0001f64f\U0001f300-\U0001f5ff\U0001f680-\U0001f6ff\U0001f1e0-\U0001f1ff]+")
_QUOTES = str.maketrans({"‘": "'", "’": "'"})
_SYMBOLS_V1_4 = str.maketrans(
    {
        **dict.fromkeys("\n【】[]（）()・·—～~", ""),
        **dict.fromkeys("：；;:", ","),
        **dict.fromkeys("“”‘’「」《》", "'"),
        "…": ".",
    }
)
_SENTENCE_MARKS, _COMMAS = ".!?。！？", ",，"


class Segment(NamedTuple):
    """What is spoken in one go: `text` as the model reads it, and its place in the request's text."""

    text: str
    span: Span | None = None


def clean_text(text: str, variant: Variant) -> str:
    """`text` as 1.x reads it: quotes made plain, emoji and repeated commas gone; 1.4 also drops brackets and dashes."""
    text = text.strip()
    if variant.name == "v1_4":
        text = _EMOJI.sub("", text.translate(_SYMBOLS_V1_4))
        return re.sub(r"([.,])[.,]+", r"\1", text)
    return re.sub(r",{2,}", ",", _EMOJI.sub("", text.translate(_QUOTES)))


def split_text(text: str, limit: int, variant: Variant) -> list[str]:
    """`text`, cleaned, in segments of about `limit` bytes of UTF-8, as 1.x splits it.

    Cuts after sentences, else after commas, else after spaces, else anywhere; a segment may be over `limit` by less
    than one character. Segments with nothing but spaces and ASCII punctuation are left out.
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


def split_turns(text: str) -> list[str]:
    """The turns of a text with S2's speaker tags, each with its tag; none if there is no tag.

    What stands before the first tag belongs to no turn, as in the vendor's code; `segments_of` keeps it.
    """
    tags = [found.start() for found in SPEAKER.finditer(text)]
    return [text[start:end].strip() for start, end in pairwise([*tags, len(text)])]


def pack_turns(turns: Iterable[str], limit: int) -> list[str]:
    """Batches of turns, joined by newlines: at most TURNS_AT_ONCE turns and `limit` bytes, unless one is longer."""
    batches: list[list[str]] = []
    size = 0
    for turn in turns:
        if not batches or len(batches[-1]) >= TURNS_AT_ONCE or size + byte_length(turn) > limit:
            batches.append([])
            size = 0
        batches[-1].append(turn)
        size += byte_length(turn)
    return ["\n".join(batch) for batch in batches]


def segments_of(text: str, variant: Variant, limit: int) -> list[Segment]:
    """What `text` is spoken as, one segment after the other; none if nothing in it can be said."""
    if variant.name in ("v1_4", "v1_5"):
        return list(_placed(split_text(text, limit, variant), text, variant))
    if variant.dialogue and SPEAKER.search(text):
        return list(_tagged_segments(text, limit))
    return list(group_sentences(split_sentences(text, None), text, limit))


def group_sentences(sentences: Iterable[Sentence], text: str, limit: int) -> Iterator[Segment]:
    """Neighbouring sentences of `text` together, as far as `limit` bytes reach; longer ones are cut."""
    start = end = -1
    for sentence in _short_enough(sentences, text, limit):
        if start >= 0 and byte_length(text[start : sentence.end]) > limit:
            yield Segment(text[start:end], (start, end))
            start = -1
        if start < 0:
            start = sentence.start
        end = sentence.end
    if start >= 0 and is_speakable(text[start:end]):
        yield Segment(text[start:end], (start, end))


def spoken_seconds(text: str) -> float:
    """A generous estimate of how long `text` takes to say: slow speech, numbers read out, pauses after sentences."""
    return sum(_SLOW[_kind(character)] for character in SPEAKER.sub("", text))


def _kind(character: str) -> str:
    if character.isdigit():
        return "digit"
    if not character.isalpha():
        return "other"
    return "syllable" if script_of(character) in ("han", "kana", "hangul") else "letter"


_SLOW = {"digit": 0.7, "syllable": 0.5, "letter": 0.2, "other": 0.2}
"""Seconds that one character takes at most, about three times what it usually takes."""


def byte_length(text: str) -> int:
    """Bytes of `text` in UTF-8."""
    return len(text.encode("utf-8", "surrogatepass"))


def _has_words(text: str) -> bool:
    return any(not character.isspace() and character not in string.punctuation for character in text)


def _cut_into_sentences(text: str, limit: int) -> list[str]:
    """`text`, if it is over `limit` bytes, cut after each mark that ends a sentence, but not within a decimal number.

    The vendor's code hides decimal points behind four more characters each, which count. Of `2.0.1` only the first is
    hidden.
    """
    numbers = [found.end(1) for found in re.finditer(r"(\d+)\.(\d+)", text)]
    if byte_length(text) + 4 * len(numbers) <= limit:
        return [text]
    return _cut_at(text, {place for place, mark in enumerate(text) if mark in _SENTENCE_MARKS} - set(numbers))


def _cut_after(pieces: Iterable[str], limit: int, marks: str) -> list[str]:
    """Pieces over `limit` bytes, cut after each of `marks`."""
    cut: list[str] = []
    for piece in pieces:
        short = byte_length(piece) <= limit
        cut += [piece] if short else _cut_at(piece, {place for place, mark in enumerate(piece) if mark in marks})
    return cut


def _cut_at(text: str, places: set[int]) -> list[str]:
    """`text`, cut after each of these characters."""
    ends = [place + 1 for place in sorted(places)]
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


def _placed(segments: Iterable[str], text: str, variant: Variant) -> Iterator[Segment]:
    """Segments of the cleaned text with their places in the text before it was cleaned."""
    cleaned = compared(text, clean_text(text, variant))
    at = 0
    for segment in segments:
        start = cleaned.text.index(segment, at)
        at = start + len(segment)
        yield Segment(segment, cleaned.positions.back((start, at)))


def _tagged_segments(text: str, limit: int) -> Iterator[Segment]:
    """The batches of a text with speaker tags. A long turn is cut by sentence, and each part gets the turn's tag."""
    first = SPEAKER.search(text)
    assert first is not None
    yield from group_sentences(split_sentences(text[: first.start()], None), text, limit)
    parts: list[Segment] = []
    tags = list(SPEAKER.finditer(text))
    for tag, end in zip(tags, [*(tag.start() for tag in tags[1:]), len(text)], strict=True):
        said = text[tag.end() : end]
        if not is_speakable(said):
            continue
        if byte_length(said) <= 2 * limit:
            parts.append(Segment(text[tag.start() : end].strip(), (tag.start(), end)))
            continue
        shifted = [Sentence(one, tag.end() + start, tag.end() + stop) for one, start, stop in split_sentences(said)]
        for part in group_sentences(shifted, text, limit):
            parts.append(Segment(tag[0] + part.text, part.span))
    yield from pack_segments(parts, limit)


def pack_segments(parts: Iterable[Segment], limit: int) -> Iterator[Segment]:
    """`pack_turns` for turns that know their places."""
    waiting = list(parts)
    for batch in pack_turns((part.text for part in waiting), limit):
        count = 0
        size = -1
        while size < len(batch):
            size += len(waiting[count].text) + 1
            count += 1
        spans = [part.span for part in waiting[:count] if part.span is not None]
        span = (spans[0][0], spans[-1][1]) if spans else None
        del waiting[:count]
        yield Segment(batch, span)


def _short_enough(sentences: Iterable[Sentence], text: str, limit: int) -> Iterator[Sentence]:
    """Sentences of at most about `limit` bytes; longer ones are cut at clauses, spaces, or anywhere."""
    for sentence in sentences:
        size = byte_length(sentence.text)
        if size <= limit:
            yield sentence
            continue
        most = max(1, limit * len(sentence.text) // size)
        for part, start, end in split_sentences(sentence.text, most):
            yield Sentence(part, sentence.start + start, sentence.start + end)
