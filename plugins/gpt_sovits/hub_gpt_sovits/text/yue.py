"""Cantonese: Jyutping -> onset and rime with tone. A `Y` in front of both keeps them apart from Mandarin's phones."""

from __future__ import annotations

import re

from hub.contract.errors import BackendUnavailable, UnspeakableText
from hub_gpt_sovits.tokenizer import PUNCTUATION, PUNCTUATION_CLASS

_ONSETS = (
    "aa", "aai", "aak", "aap", "aat", "aau", "ai", "au", "ap", "at", "ak", "a", "p", "b", "e", "ts", "t", "dz", "d",
    "kw", "k", "gw", "g", "f", "h", "l", "m", "ng", "n", "s", "y", "w", "c", "z", "j", "ong", "on", "ou", "oi",
    "ok", "o", "uk", "ung",
)  # fmt: skip
"""Onsets: a syllable is split after the first of these that it begins with. Vowels among them are their own onsets."""

_SYLLABLES = re.compile(r"([a-z]+[1-6]+ ?)+")
_ONE_SIGN = re.compile(rf"([{PUNCTUATION_CLASS}])")


def phones(text: str) -> tuple[list[str], list[int]]:
    """The phones of normalised `text`, and their number for each character. Raises UnspeakableText."""
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
            signs = [sign for sign in _ONE_SIGN.split(characters) if sign]
            found += signs
            counts += [1] * len(signs)
        elif syllable is None or not _SYLLABLES.fullmatch(syllable):
            raise UnspeakableText(f"Cantonese has no reading for {characters!r}")
        else:
            found += _split(syllable)
            counts.append(2)
    return found, counts


def _split(syllable: str) -> tuple[str, str]:
    """`liu4` -> `Yl`, `Yiu4`."""
    bare, tone = syllable[:-1], syllable[-1]
    onset = "ng" if bare.startswith("nga") else next(onset for onset in _ONSETS if bare.startswith(onset))
    rime = bare[len(onset) :] or onset[-1]
    return f"Y{onset}", f"Y{rime}{tone}"
