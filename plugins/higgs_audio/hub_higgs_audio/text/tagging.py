"""A request's text with a tag before each speaker's words, as the model reads it, and the voices of those speakers."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from hub.contract import CastVoice, ResolvedRequest
from hub.contract.errors import InvalidRequest
from hub.contract.event import Span
from hub_higgs_audio.text.normalising import SPEAKER, normalise, speaker_tags

_NUMBERED = re.compile(r"SPEAKER(\d{1,4})")

MOST_SPEAKERS = 100
"""The numbers of a dialogue's speakers are below this."""


@dataclass(frozen=True)
class TaggedText:
    """`text` names speakers as `[SPEAKERn]`; `voices` are theirs, SPEAKER0 first.

    With `one_each` there is a single voice, and each of its recordings is another speaker, in order. `starts` are the
    positions (in `text`, in the caller's text) at which the words of each turn begin.
    """

    text: str
    voices: tuple[CastVoice, ...] = ()
    one_each: bool = False
    starts: tuple[tuple[int, int], ...] = ((0, 0),)

    @property
    def tags(self) -> list[str]:
        """The speakers that the text names."""
        return speaker_tags(self.text)

    def caller_span(self, span: Span | None) -> Span | None:
        """A span of `text` as a span of the caller's text."""
        return None if span is None else (self._outer(span[0], 0), self._outer(span[1], 1))

    def _outer(self, at: int, side: int) -> int:
        turn = max(0, bisect_right(self.starts, (at - side, 1 << 60)) - 1)
        inner, outer = self.starts[turn]
        return outer + max(0, at - inner)


def tagged_text(request: ResolvedRequest) -> TaggedText:
    """The tagged text of a dialogue, or of a text, which may itself hold tags.

    As in boson's script, the recordings of the request's own voice are one speaker's each, in order, where the text has
    tags and there are as many recordings as tags, or as the last tag's number asks for; otherwise all of them are one
    speaker's. Raises InvalidRequest for a tag whose number is too high.
    """
    if request.turns:
        return _dialogue(request)
    text = request.text or ""
    tags = speaker_tags(text)
    if request.cast and tags:
        return TaggedText(text, tuple(request.cast.get(tag, CastVoice()) for tag in _numbered(tags)))
    own = CastVoice(voice=request.voice, references=request.references, prepared=request.prepared)
    count = len(request.references)
    one_each = bool(tags) and count > 1 and count in (len(tags), len(_numbered(tags)))
    return TaggedText(text, (own,), one_each)


def _numbered(tags: list[str]) -> list[str]:
    """SPEAKER0 up to the last one named. Raises InvalidRequest."""
    digits = [tag.removeprefix("SPEAKER") for tag in tags]
    if any(len(number) > 4 or int(number) >= MOST_SPEAKERS for number in digits):
        raise InvalidRequest(
            f"speakers are numbered from [SPEAKER0] to [SPEAKER{MOST_SPEAKERS - 1}]; the text names one beyond"
        )
    return [f"SPEAKER{number}" for number in range(1 + max(map(int, digits)))]


def _dialogue(request: ResolvedRequest) -> TaggedText:
    speakers = list(dict.fromkeys(turn.speaker or "" for turn in request.turns))
    numbers = {name: int(found[1]) for name in speakers if (found := _NUMBERED.fullmatch(name))}
    if sorted(numbers.values()) == list(range(len(speakers))):  # their own numbers, if none is missing
        speakers.sort(key=lambda name: numbers[name])
    number_of = {name: number for number, name in enumerate(speakers)}
    text, starts, plain = "", [], 0
    for turn in request.turns:
        text += "\n" if text else ""
        if len(speakers) > 1:
            text += f"[SPEAKER{number_of[turn.speaker or '']}] "
        starts.append((len(text), plain))
        text += _untagged(turn.text) if len(speakers) > 1 else turn.text
        plain += len(turn.text) + 1
    voices = tuple(request.cast.get(name, CastVoice()) for name in speakers)
    return TaggedText(text, voices, starts=tuple(starts))


def _untagged(text: str) -> str:
    """A turn's text without tags of other speakers, in any spelling: normalising makes tags as well."""
    while SPEAKER.search(normalised := normalise(text)):
        text = SPEAKER.sub("", normalised)
    return text
