"""Numbers in English words, as in the models' training: "one thousand, two hundred and thirty-four"."""

from __future__ import annotations

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_SMALL_WORDS = tuple(_SMALL.split())
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SCALE = "thousand million billion trillion quadrillion quintillion sextillion septillion octillion nonillion decillion"
_SCALES = ("", *_SCALE.split())

LONGEST = 3 * len(_SCALES)
"""Digits of the longest number with a name; longer runs are read digit by digit."""


def in_words(digits: str) -> str:
    """A run of digits in words; leading zeros are not said."""
    digits = digits.lstrip("0") or "0"
    if len(digits) > LONGEST:
        return " ".join(_SMALL_WORDS[int(digit)] for digit in digits)
    number = int(digits)
    if number < 100:
        return _below_hundred(number)
    groups: list[str] = []
    rest, scale = number, 0
    while rest:
        rest, group = divmod(rest, 1000)
        if group:
            groups.insert(0, f"{_below_thousand(group)} {_SCALES[scale]}".strip())
        scale += 1
    last = number % 1000
    if len(groups) > 1 and 0 < last < 100:  # "one thousand and one"
        return f"{', '.join(groups[:-1])} and {groups[-1]}"
    return ", ".join(groups)


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    if not hundreds:
        return _below_hundred(rest)
    words = f"{_SMALL_WORDS[hundreds]} hundred"
    return f"{words} and {_below_hundred(rest)}" if rest else words


def _below_hundred(number: int) -> str:
    if number < 20:
        return _SMALL_WORDS[number]
    tens, ones = divmod(number, 10)
    return f"{_TENS[tens]}-{_SMALL_WORDS[ones]}" if ones else _TENS[tens]
