"""An upper estimate of the time that a text takes to say."""

from __future__ import annotations

from hub.text.scripts import script_of
from hub_fish_speech.text.dialogue import SPEAKER

_SLOW = {"digit": 0.7, "syllable": 0.5, "letter": 0.2, "other": 0.2}
"""Seconds that one character takes at most, about three times what it usually takes."""


def spoken_seconds(text: str) -> float:
    """The time of `text` at slow speech, with numbers read out and pauses after sentences."""
    return sum(_SLOW[_kind(character)] for character in SPEAKER.sub("", text))


def _kind(character: str) -> str:
    if character.isdigit():
        return "digit"
    if not character.isalpha():
        return "other"
    return "syllable" if script_of(character) in ("han", "kana", "hangul") else "letter"
