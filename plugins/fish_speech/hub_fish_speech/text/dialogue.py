"""Dialogues, as S2 speaks them: turns that begin with a speaker tag, several in one segment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from hub.contract import Turn
from hub.text.sentences import Sentence, split_sentences
from hub.text.speakable import is_speakable
from hub_fish_speech.text.sentences import Segment, byte_length, group_sentences

SPEAKER = re.compile(r"<\|speaker:(\d+)\|>")
"""A speaker tag: ordinary text to S2's tokenizer."""

TURNS_AT_ONCE = 5
"""Turns that S2 speaks in one go at most."""


class TaggedTurn(NamedTuple):
    """A turn of a text with speaker tags: its tag, and where the tag, the words after it and the turn's end are."""

    tag: str
    start: int
    words: int
    end: int


def speaker_tag(speaker: int | str) -> str:
    """The tag of a speaker's number."""
    return f"<|speaker:{speaker}|>"


def speaker_numbers(turns: Sequence[Turn]) -> dict[str | None, int]:
    """Speaker -> number, in the order in which they begin."""
    return {name: number for number, name in enumerate(dict.fromkeys(turn.speaker for turn in turns))}


def dialogue_segments(turns: Sequence[Turn], limit: int) -> list[Segment]:
    """Turns as tagged text in segments of about `limit` bytes. Spans count in the turns' texts, a line each."""
    numbers = speaker_numbers(turns)
    whole = "\n".join(turn.text for turn in turns)
    parts: list[Segment] = []
    start = 0
    for turn in turns:
        end = start + len(turn.text)
        tag = speaker_tag(numbers[turn.speaker])
        if is_speakable(turn.text):
            if byte_length(turn.text) <= limit:
                parts.append(Segment(tag + turn.text.strip(), (start, end)))
            else:
                parts += _cut_turn(tag, turn.text, start, whole, limit)
        start = end + 1
    return list(_pack(parts, limit))


def tagged_turns(text: str) -> list[TaggedTurn]:
    """The turns of a text with speaker tags; none if it has no tag. Text before the first tag belongs to no turn."""
    tags = list(SPEAKER.finditer(text))
    ends = [*(tag.start() for tag in tags[1:]), len(text)]
    return [TaggedTurn(tag[0], tag.start(), tag.end(), end) for tag, end in zip(tags, ends, strict=False)]


def tagged_segments(text: str, limit: int) -> Iterator[Segment]:
    """The segments of a text with speaker tags, text before the first tag included.

    A long turn is cut by sentence, and each part gets the turn's tag.
    """
    turns = tagged_turns(text)
    before = text[: turns[0].start] if turns else text
    yield from group_sentences(split_sentences(before, None), text, limit)
    parts: list[Segment] = []
    for turn in turns:
        words = text[turn.words : turn.end]
        if not is_speakable(words):
            continue
        if byte_length(words) <= 2 * limit:
            parts.append(Segment(text[turn.start : turn.end].strip(), (turn.start, turn.end)))
        else:
            parts += _cut_turn(turn.tag, words, turn.words, text, limit)
    yield from _pack(parts, limit)


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


def _cut_turn(tag: str, words: str, start: int, whole: str, limit: int) -> Iterator[Segment]:
    """The sentences of a long turn, whose `words` begin at `start` of `whole`, each part with the tag."""
    shifted = [Sentence(one, start + begin, start + end) for one, begin, end in split_sentences(words)]
    for part in group_sentences(shifted, whole, limit):
        yield Segment(tag + part.text, part.span)


def _pack(parts: Iterable[Segment], limit: int) -> Iterator[Segment]:
    """`pack_turns` for turns with spans."""
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
