"""How long a text takes to say, at most."""

from __future__ import annotations

from hub.text.scripts import script_of
from hub_fish_speech.text.dialogue import SPEAKER

_SLOW = {"digit": 0.7, "syllable": 0.5, "letter": 0.2, "other": 0.2}
"""Seconds that one character takes at most, about three times what it usually takes."""


def spoken_seconds(text: str) -> float:
    """A generous estimate of how long `text` takes to say: slow speech, numbers read out, pauses after sentences."""
    return sum(_SLOW[_kind(character)] for character in SPEAKER.sub("", text))


def _kind(character: str) -> str:
    if character.isdigit():
        return "digit"
    if not character.isalpha():
        return "other"
    return "syllable" if script_of(character) in ("han", "kana", "hangul") else "letter"
