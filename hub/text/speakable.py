"""Texts that have something to say, and text without invisible characters."""

from __future__ import annotations

import re

from hub.contract.errors import EmptyText, UnspeakableText

# \w without the underscore is Unicode's letters and numbers. Not counted: the invisible Hangul fillers, which are
# letters by category, and characters that U+FE0F or U+20E3 turns into a picture: keycaps such as 1️⃣, or ℹ️ and ㊗️.
_SPEAKABLE = re.compile(r"[^\W_\u115f\u1160\u3164\uffa0](?![\ufe0f\u20e3])")

_LINE_ENDS = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")

_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1 controls except tab and newline
    r"\ud800-\udfff"  # lone surrogates, which no encoding carries
    r"\ufeff\u200b\u2060-\u2064\u00ad\u180e"  # BOM, zero-width spaces, invisible operators, soft hyphen
    r"\u200e\u200f\u202a-\u202e\u2066-\u206f"  # direction marks
    r"\ufff9-\ufffb\U000e0000-\U000e007f]+"  # annotations and tags
)

# Zero-width joiner and non-joiner spell words in Persian and in Indic scripts, and join emoji; beside a space, an
# ASCII character or an end of the text they do nothing.
_IDLE_JOINERS = re.compile(
    r"(?<![\u200c\u200d])(?:(?<![^\x00-\x7f\s])[\u200c\u200d]++|[\u200c\u200d]++(?![^\x00-\x7f\s]))"
)


def is_speakable(text: str) -> bool:
    """Return True if `text` has a letter or a number of any script, not just punctuation, symbols and emoji."""
    return _SPEAKABLE.search(text) is not None


def check_speakable(text: str) -> None:
    """Raise EmptyText or UnspeakableText if there is nothing to say in `text`."""
    if not is_speakable(text):
        raise nothing_to_speak(blank=not text.strip())


def nothing_to_speak(*, blank: bool) -> EmptyText | UnspeakableText:
    """Return the error for a text without a word; `blank` says that it has only white space."""
    if blank:
        return EmptyText("there is no text to speak: give `text`, or `turns` with a text each")
    return UnspeakableText("the text has no letter and no number, so there is nothing to say: add words")


def clean(text: str) -> str:
    """Remove control characters, lone surrogates and zero-width junk; make every kind of line end a newline.

    Nothing else changes: no normalization, no trimming. Positions move, so clean first and take spans afterwards.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _LINE_ENDS.sub("\n", text)
    text = _INVISIBLE.sub("", text)
    return _IDLE_JOINERS.sub("", text)
