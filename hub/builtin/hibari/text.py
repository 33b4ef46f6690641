"""Prepares text for hibari: cuts it, and rewrites it so that every word is read.

hibari's own reader drops unknown characters, cuts words after 24 letters, fails on numbers of more than 36 digits and
takes `[word](/phonemes/)` in any text. Here such text is rewritten, or refused with the characters at fault.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Iterator

from hub.contract.errors import UnspeakableText
from hub.contract.event import Span
from hub.text.cuts import cut_long

MAX_WORD = 24
"""Most letters that hibari's reader takes in an unknown word; it drops the rest."""

MAX_DIGITS = 36
"""Most digits of a number that hibari has words for."""

MAX_RUN = 64
"""Most characters without a space: hibari's time for such a run grows with the cube of its length."""

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_NUMBER = re.compile(r"\d(?:[\d,.]*\d)?")
_LONG_RUN = re.compile(rf"\S{{{MAX_RUN + 1},}}")
_RUN_PART = re.compile(rf"\S{{1,{MAX_RUN - 1}}}[^\w\s]|\S{{1,{MAX_RUN}}}")
_LIST_COMMA = re.compile(r",(?!\d{3}(?!\d))")
_GREEK_WORD = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]{2,}")
_GREEK_LETTER = re.compile(r"GREEK (?:SMALL|CAPITAL) LETTER (?:FINAL )?(\w+)$")
_KEPT = frozenset("²³¼½¾ªº™℠")
"""Characters that hibari reads (or rightly skips) and that their compatibility form would spoil."""

_REWRITTEN = dict(
    zip("。，、！？：；’‘ʼ℃℉", (". ", ", ", ", ", "! ", "? ", ": ", "; ", "'", "'", "'", "°C", "°F"), strict=True)
)


def pieces(text: str, start: int, end: int, first: int, rest: int) -> Iterator[Span]:
    """Cut `text[start:end]` into one piece of at most `first` characters, then pieces of at most `rest`."""
    piece = next(cut_long(text, start, end, first))
    yield piece
    start = piece[1]
    while start < end and text[start].isspace():
        start += 1
    yield from cut_long(text, start, end, rest)


def spelled(text: str, known: Callable[[str], bool], alphabet: frozenset[str]) -> str:
    """Rewrite `text` so that hibari reads all of it. `known(word)` is True if its dictionary has a long word.

    Raises UnspeakableText for letters that hibari cannot read.
    """
    text = unicodedata.normalize("NFC", text)
    check_readable(text, alphabet)
    if not text.isascii():
        text = text.translate({ord(char): written(char, alphabet) for char in set(text) if not char.isascii()})
    text = "".join(char if char.isprintable() else " " for char in text)
    text = text.replace("](", "] (")  # not a link to phonemes: hibari chooses those itself
    text = re.sub(r"([$£€])\.(?=\d)", r"\g<1>0.", text)
    text = _WORD.sub(lambda match: _in_parts(match.group(), known), text)
    text = _NUMBER.sub(lambda match: _number(match.group()), text)
    return _LONG_RUN.sub(lambda match: " ".join(_RUN_PART.findall(match.group())), text)


def check_readable(text: str, alphabet: frozenset[str]) -> None:
    """Raise UnspeakableText if hibari cannot read some characters of `text`, naming the first ones."""
    if text.isascii():
        return
    unreadable = {char for char in set(text) if not char.isascii() and written(char, alphabet) is None}
    pattern = f"[{re.escape(''.join(unreadable))}]+" if unreadable else _GREEK_WORD
    found = re.search(pattern, text)
    if found is None:
        return
    sample = found.group()[:12]
    raise UnspeakableText(
        f"the model speaks English and cannot read {sample!r}; leave it out, write it in English letters, "
        "or choose a model that speaks the language",
        characters=sample,
        position=found.start(),
    )


@functools.lru_cache(maxsize=4096)
def written(char: str, alphabet: frozenset[str]) -> str | None:
    """Return `char` (not ASCII) as hibari can read it; "" if it is silent, None if hibari cannot read it."""
    if char in _REWRITTEN:
        return _REWRITTEN[char]
    kind = unicodedata.category(char)
    if char in _KEPT or (kind == "So" and not _plain(char).isascii()):
        return char
    if kind[0] in "CM":  # controls, joiners, variation selectors, loose accents
        return " " if kind == "Cc" else ""
    if kind == "Nd":
        return str(unicodedata.digit(char))
    if kind[0] in "LNS" and _plain(char).isascii():
        return _plain(char) if kind[0] == "L" else f" {_plain(char)} "
    if kind[0] not in "LN":
        return char
    return _letter(char, alphabet) if kind[0] == "L" else None


def _plain(char: str) -> str:
    """Return the compatibility form: full-width, mathematical and circled characters as plain ones, ⅔ as 2/3."""
    return unicodedata.normalize("NFKC", char).replace("\N{FRACTION SLASH}", "/")


def _letter(char: str, alphabet: frozenset[str]) -> str | None:
    name = unicodedata.name(char, "")
    if char in "µμ":
        return "µ"
    if greek := _GREEK_LETTER.match(name):
        return f" {greek.group(1).lower()} "
    if not name.startswith("LATIN "):
        return None
    if char in alphabet:
        return char
    base = "".join(part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part))
    return base if base.isascii() or all(part in alphabet for part in base) else None


def _in_parts(word: str, known: Callable[[str], bool]) -> str:
    if len(word) <= MAX_WORD or known(word):
        return word
    return " ".join(word[start : start + MAX_WORD] for start in range(0, len(word), MAX_WORD))


def _number(number: str) -> str:
    """Return a number as it is if hibari has words for it, else digit by digit; "1,2,3" becomes a list."""
    if sum(char.isdigit() for char in number) > MAX_DIGITS:
        return " ".join("point" if char == "." else char for char in number if char != ",")
    return _LIST_COMMA.sub(", ", number)
