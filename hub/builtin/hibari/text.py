"""Text for hibari: where to cut it, and how to write it so that every word of it is read.

hibari's own reader drops characters that it does not know, cuts words after 24 letters, stumbles over numbers of more
than 36 digits and takes `[word](/phonemes/)` from anybody. Here such text is rewritten, or refused by name.
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
"""Letters that hibari's reader of unknown words takes at once; it drops the rest."""

MAX_DIGITS = 36
"""Digits of the largest number that hibari has words for."""

MAX_RUN = 64
"""Characters without a space; the time that hibari takes for such a run grows with its cube."""

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
_NUMBER = re.compile(r"\d(?:[\d,.]*\d)?")
_LONG_RUN = re.compile(rf"\S{{{MAX_RUN + 1},}}")
_RUN_PART = re.compile(rf"\S{{1,{MAX_RUN - 1}}}[^\w\s]|\S{{1,{MAX_RUN}}}")
_LIST_COMMA = re.compile(r",(?!\d{3}(?!\d))")
_GREEK_WORD = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]{2,}")
_GREEK_LETTER = re.compile(r"GREEK (?:SMALL|CAPITAL) LETTER (?:FINAL )?(\w+)$")
_KEPT = frozenset("²³¼½¾ªº™℠")
"""Characters that hibari reads (or rightly leaves out) and that a compatibility form would spoil."""

_REWRITTEN = dict(
    zip("。，、！？：；’‘ʼ℃℉", (". ", ", ", ", ", "! ", "? ", ": ", "; ", "'", "'", "'", "°C", "°F"), strict=True)
)


def pieces(text: str, start: int, end: int, first: int, rest: int) -> Iterator[Span]:
    """Cut `text[start:end]` into a piece of at most `first` characters and others of at most `rest`."""
    piece = next(cut_long(text, start, end, first))
    yield piece
    start = piece[1]
    while start < end and text[start].isspace():
        start += 1
    yield from cut_long(text, start, end, rest)


def spelled(text: str, known: Callable[[str], bool], alphabet: frozenset[str]) -> str:
    """`text` rewritten so that hibari reads all of it. `known(word)` says whether its dictionary has a long word.

    Raises UnspeakableText for letters that it cannot read.
    """
    text = unicodedata.normalize("NFC", text)
    check_readable(text, alphabet)
    if not text.isascii():
        text = text.translate({ord(char): written(char, alphabet) for char in set(text) if not char.isascii()})
    text = "".join(char if char.isprintable() else " " for char in text)
    text = text.replace("](", "] (")  # text is text: its phonemes are hibari's to choose
    text = re.sub(r"([$£€])\.(?=\d)", r"\g<1>0.", text)
    text = _WORD.sub(lambda match: _in_parts(match.group(), known), text)
    text = _NUMBER.sub(lambda match: _number(match.group()), text)
    return _LONG_RUN.sub(lambda match: " ".join(_RUN_PART.findall(match.group())), text)


def check_readable(text: str, alphabet: frozenset[str]) -> None:
    """Raise UnspeakableText, naming the first characters that hibari cannot read, if there are any."""
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
    """`char` (not ASCII) as hibari can read it; "" if it says nothing; None if it is a letter that it cannot read."""
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
    """The compatibility form: full-width, mathematical and circled characters as plain ones, ⅔ as 2/3."""
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
    """A number that hibari has words for, as it is; a longer one digit by digit; a list "1,2,3" as a list."""
    if sum(char.isdigit() for char in number) > MAX_DIGITS:
        return " ".join("point" if char == "." else char for char in number if char != ",")
    return _LIST_COMMA.sub(", ", number)
