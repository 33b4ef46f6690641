"""Comparing what was heard with what was to be said: by words, in zh, ja and ko by characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from msgspec import Struct

BY_CHARACTER = frozenset({"zh", "ja", "ko"})
"""Languages whose writing has no spaces between words, or whose spaces a listener sets freely."""

_SPELLINGS = {
    "mr": "mister",
    "mrs": "missus",
    "dr": "doctor",
    "ok": "okay",
    "colour": "color",
    "grey": "gray",
    "%": "percent",
}
_UNITS = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
_TENS = ["", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


class Comparison(Struct, frozen=True):
    """What was heard against what was to be said.

    `errors` are the fewest substitutions, insertions and deletions between them; `missing` counts the units of the text
    that nothing stands for at its end.
    """

    units: int
    errors: int
    missing: int


def compare(said: Sequence[str], heard: Sequence[str]) -> Comparison:
    """Compare two lists of units (Levenshtein). Of two ways of equal cost, `missing` is that with fewer at the end."""
    table = [list(range(len(heard) + 1))]
    for count, unit in enumerate(said, 1):
        above, row = table[-1], [count]
        for index, other in enumerate(heard, 1):
            row.append(min(above[index - 1] + (unit != other), above[index] + 1, row[index - 1] + 1))
        table.append(row)
    missing = 0
    while missing < len(said) and table[-1 - missing][-1] == table[-2 - missing][-1] + 1:
        if heard and table[-1 - missing][-1] == table[-2 - missing][-2] + (said[-1 - missing] != heard[-1]):
            break
        missing += 1
    return Comparison(len(said), table[-1][-1], missing)


def units(text: str, language: str) -> list[str]:
    """Return what is counted of a text: its words, or its letters and digits in a language of `BY_CHARACTER`."""
    if language in BY_CHARACTER:
        return [char for char in unicodedata.normalize("NFKC", text.lower()) if char.isalnum() or char == "ー"]
    return words(text)


def words(text: str) -> list[str]:
    """Return the words of `text` without case, accents and punctuation, with numbers up to 999,999 in English words."""
    text = unicodedata.normalize("NFKD", text.lower().replace("\u2019", "'"))
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"(\d+)(?:st|nd|rd|th)\b", r"\1", text)
    found = re.findall(r"\d+|[a-z]+(?:'[a-z]+)*|%", text)
    return [part for word in found for part in _spoken(_SPELLINGS.get(word, word)).split()]


def _spoken(word: str) -> str:
    return _number(int(word)) if word.isdigit() and len(word) <= 6 else word


def _number(number: int) -> str:
    if number < 20:
        return _UNITS[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        return _TENS[tens] + (f" {_UNITS[rest]}" if rest else "")
    size, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    high, low = divmod(number, size)
    return f"{_number(high)} {name}" + (f" {_number(low)}" if low else "")
