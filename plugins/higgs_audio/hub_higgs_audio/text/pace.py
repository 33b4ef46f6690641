"""The time that a text takes to say, and the bounds on the length of an answer."""

from __future__ import annotations

import re

from hub.text.scripts import script_of

_SYLLABIC = {"han": 4.2, "kana": 7.0, "hangul": 5.0}
"""Characters a second of unhurried speech, for scripts in which a character is about a syllable."""

_LETTERS = 14.0
_DIGITS = 3.5
_PAUSES = {
    **dict.fromkeys(".!?。！？", 0.35),
    **dict.fromkeys(",，、", 0.15),
    **dict.fromkeys(";:；：", 0.2),
    "\n": 0.3,
}
_MARKUP = re.compile(r"\[SPEAKER\d+\]|</?SE(?:_[se])?>")
_SOUND = re.compile(r"<SE[^>]*>")
_SOUND_SECONDS = 2.0

SLOWEST = 2.5
"""An answer is cut when it lasts this many times the expected seconds, plus the leeway."""

FASTEST = 0.25
"""An answer that lasts less than this share of the expected seconds has left something out."""

LEEWAY = 4.0
"""Seconds that any answer may take in addition: a breath, a slow start, a sound."""


def expected_seconds(text: str) -> float:
    """Estimate the seconds that a text takes to say at an ordinary pace. Tags for sounds count as sounds."""
    seconds = _SOUND_SECONDS * len(_SOUND.findall(text))
    for char in _MARKUP.sub("", text):
        if char.isdigit():
            seconds += 1 / _DIGITS
        elif char.isalpha():
            seconds += 1 / _SYLLABIC.get(script_of(char), _LETTERS)
        elif char == " ":
            seconds += 1 / _LETTERS
        else:
            seconds += _PAUSES.get(char, 0.0)
    return seconds


def longest(text: str) -> float:
    """Seconds after which an answer that says `text` is cut off."""
    return SLOWEST * expected_seconds(text) + LEEWAY


def shortest(text: str) -> float:
    """Seconds that a plausible answer lasts at least."""
    return FASTEST * expected_seconds(text)
