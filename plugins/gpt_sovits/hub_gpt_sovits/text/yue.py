"""Cantonese: Jyutping -> onset and rime with tone, each with `Y` in front so that Mandarin's phones stay apart."""

from __future__ import annotations

import re

from hub.contract.errors import BackendUnavailable, UnspeakableText
from hub_gpt_sovits.text.symbols import MARKS, PUNCTUATION

_ONSETS = (
    "aa", "aai", "aak", "aap", "aat", "aau", "ai", "au", "ap", "at", "ak", "a", "p", "b", "e", "ts", "t", "dz", "d",
    "kw", "k", "gw", "g", "f", "h", "l", "m", "ng", "n", "s", "y", "w", "c", "z", "j", "ong", "on", "ou", "oi",
    "ok", "o", "uk", "ung",
)  # fmt: skip
"""What a syllable is parted behind: the first that it begins with. Vowels among them are their own onsets."""

_SYLLABLES = re.compile(r"([a-z]+[1-6]+ ?)+")
_MARK = re.compile(rf"([{MARKS}])")


def phones(text: str) -> tuple[list[str], list[int]]:
    """The phones of normalised `text`, and how many each character has. Raises UnspeakableText."""
    try:
        import ToJyutping
    except ImportError:
        raise BackendUnavailable(
            "Cantonese needs the package ToJyutping: pip install 'tts-hub-gpt-sovits[yue]'"
        ) from None
    found: list[str] = []
    counts: list[int] = []
    for characters, syllable in ToJyutping.get_jyutping_list(text):
        if all(character in PUNCTUATION for character in characters):
            marks = [mark for mark in _MARK.split(characters) if mark]
            found += marks
            counts += [1] * len(marks)
        elif syllable is None or not _SYLLABLES.fullmatch(syllable):
            raise UnspeakableText(f"Cantonese has no reading for {characters!r}")
        else:
            found += _parted(syllable)
            counts.append(2)
    return found, counts


def _parted(syllable: str) -> tuple[str, str]:
    """`liu4` -> `Yl`, `Yiu4`."""
    bare, tone = syllable[:-1], syllable[-1]
    onset = "ng" if bare.startswith("nga") else next(onset for onset in _ONSETS if bare.startswith(onset))
    rime = bare[len(onset) :] or onset[-1]
    return f"Y{onset}", f"Y{rime}{tone}"
