"""A request as the model will read it: its text with speakers' tags, who they are, and places in the caller's text."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass

from hub.contract import CastVoice, ResolvedRequest
from hub.contract.errors import InvalidRequest
from hub.contract.event import Span
from hub_higgs_audio.normalise import SPEAKER, normalise, speaker_tags

_TAG = re.compile(r"SPEAKER(\d{1,4})")

MOST_SPEAKERS = 100
"""Numbers from here on are no speakers of a dialogue."""


@dataclass(frozen=True)
class Script:
    """`text` names speakers as `[SPEAKERn]`; `cast` are their voices, SPEAKER0 first.

    `lines` are the places (in `text`, in the caller's text) at which each turn's own words begin.
    """

    text: str
    cast: tuple[CastVoice, ...]
    lines: tuple[tuple[int, int], ...] = ((0, 0),)

    @property
    def tags(self) -> list[str]:
        """The speakers that the text names."""
        return speaker_tags(self.text)

    def back(self, span: Span | None) -> Span | None:
        """A place in `text` as one in the caller's."""
        return None if span is None else (self._back(span[0], 0), self._back(span[1], 1))

    def _back(self, at: int, side: int) -> int:
        line = max(0, bisect_right(self.lines, (at - side, 1 << 60)) - 1)
        inner, outer = self.lines[line]
        return outer + max(0, at - inner)


def script_of(request: ResolvedRequest) -> Script:
    """The script of a text (which may itself hold tags) or of a dialogue.

    A text with tags and several recordings, of which the request's own voice has as many as there are tags, or numbers
    up to the last tag's, takes each recording for a speaker, in order, as boson's script does; otherwise all of them
    are one speaker's. Raises InvalidRequest for a tag whose number no dialogue has.
    """
    if request.turns:
        return _dialogue(request)
    text = request.text or ""
    tags = speaker_tags(text)
    if request.cast and tags:
        return Script(text, tuple(request.cast.get(tag, CastVoice()) for tag in _numbered(tags)))
    own = CastVoice(voice=request.voice, references=request.references, prepared=request.prepared)
    count = len(request.references)
    if tags and count > 1 and count in (len(tags), len(_numbered(tags))):
        return Script(text, tuple(CastVoice(references=(reference,)) for reference in request.references))
    return Script(text, (own,))


def _numbered(tags: list[str]) -> list[str]:
    """SPEAKER0 up to the last one named. Raises InvalidRequest."""
    digits = [tag.removeprefix("SPEAKER") for tag in tags]
    if any(len(number) > 4 or int(number) >= MOST_SPEAKERS for number in digits):
        raise InvalidRequest(f"speakers go from [SPEAKER0] to [SPEAKER{MOST_SPEAKERS - 1}]; the text names one beyond")
    return [f"SPEAKER{number}" for number in range(1 + max(map(int, digits)))]


def _dialogue(request: ResolvedRequest) -> Script:
    speakers = list(dict.fromkeys(turn.speaker or "" for turn in request.turns))
    numbers = {name: int(found[1]) for name in speakers if (found := _TAG.fullmatch(name))}
    if sorted(numbers.values()) == list(range(len(speakers))):  # their own numbers, if these are whole
        speakers.sort(key=lambda name: numbers[name])
    place = {name: number for number, name in enumerate(speakers)}
    text, lines, plain = "", [], 0
    for turn in request.turns:
        text += "\n" if text else ""
        if len(speakers) > 1:
            text += f"[SPEAKER{place[turn.speaker or '']}] "
        lines.append((len(text), plain))
        text += _untagged(turn.text) if len(speakers) > 1 else turn.text
        plain += len(turn.text) + 1
    cast = tuple(request.cast.get(name, CastVoice()) for name in speakers)
    return Script(text, cast, tuple(lines))


def _untagged(text: str) -> str:
    """A turn's text in which nobody else is given the word, however the tag is written: normalising makes tags, too."""
    while SPEAKER.search(normalised := normalise(text)):
        text = SPEAKER.sub("", normalised)
    return text
