"""English text -> letters and `' . , ? ! -` alone: ordinals, sums, times, measures, money and numbers in words."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import inflect

from hub_gpt_sovits.tokenizer import PUNCTUATION_CLASS

_UNITS = {
    "m": ("meter", "meters"), "km": ("kilometer", "kilometers"), "km/h": ("kilometer per hour", "kilometers per hour"),
    "ft": ("feet", "feet"), "L": ("liter", "liters"), "tbsp": ("tablespoon", "tablespoons"),
    "tsp": ("teaspoon", "teaspoons"), "h": ("hour", "hours"), "min": ("minute", "minutes"), "s": ("second", "seconds"),
    "°C": ("degree celsius", "degrees celsius"), "°F": ("degree fahrenheit", "degrees fahrenheit"),
}  # fmt: skip
_POUNDS = ("pound", "pounds", "penny", "pence")
_DOLLARS = ("dollar", "dollars", "cent", "cents")
_SIGNS = {"+": " plus ", "-": " minus ", "×": " times ", "÷": " divided by ", "=": " Equals "}

_POWERS = "⁰¹²³⁴⁵⁶⁷⁸⁹ˣʸⁿ"
_TERM = rf"(?:-?\d+(?:\.\d+)?[{_POWERS}]*|\.\d+[{_POWERS}]*|[A-Za-z][{_POWERS}]*)"
_SUM = re.compile(rf"({_TERM})\s+([-+×÷=])\s+({_TERM})")
_REPEATED = re.compile(rf"([{PUNCTUATION_CLASS}\s])[{PUNCTUATION_CLASS}]+")


@functools.cache
def _words() -> Any:
    return inflect.engine()


def _number(match: re.Match[str]) -> str:
    """A whole number in words; between 1000 and 3000 as years are said."""
    number, words = int(match[0]), _words()
    if not 1000 < number < 3000:
        return str(words.number_to_words(number, andword=""))
    if number == 2000:
        return "two thousand"
    if 2000 < number < 2010:
        return f"two thousand {words.number_to_words(number % 100)}"
    if number % 100 == 0:
        return f"{words.number_to_words(number // 100)} hundred"
    return str(words.number_to_words(number, andword="", zero="oh", group=2).replace(", ", " "))


def _time(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    half = "a.m." if hour < 12 else "p.m."
    said = _words().number_to_words(hour - 12 if hour > 12 else hour)
    past = _words().number_to_words(minute) if minute else "o'clock"
    return f"{said} {past} {half}"


def _measure(match: re.Match[str]) -> str:
    written, decimals, unit = match.groups()
    one = decimals is None and int(written.replace(unit, "").replace(".", "")) == 1
    return str(written.replace(unit, " " + _UNITS[unit][0 if one else 1]))


def _money(units: tuple[str, str, str, str]) -> Callable[[re.Match[str]], str]:
    one, many, small_one, small_many = units

    def said(match: re.Match[str]) -> str:
        parts = match[1].split(".")
        if len(parts) > 2:
            return f"{match[1]} {many}"
        whole = int(parts[0]) if parts[0] else 0
        hundredths = int(parts[1].ljust(2, "0")) if len(parts) > 1 and parts[1] else 0
        amounts = []
        if whole:
            amounts.append(f"{whole} {one if whole == 1 else many}")
        if hundredths:
            amounts.append(f"{hundredths} {small_one if hundredths == 1 else small_many}")
        return " and ".join(amounts) or f"zero {many}"

    return said


def _decimal(match: re.Match[str]) -> str:
    whole, decimals = match[1].split(".")
    return f"{whole} point {' '.join(decimals)}"


def _fraction(match: re.Match[str]) -> str:
    above, below = map(int, match[0].split("/"))
    words = _words()
    if below == 1:
        return str(words.number_to_words(above))
    if below == 2:
        part = "half" if above == 1 else "halves"
    else:
        part = words.ordinal(words.number_to_words(below)) + ("s" if above > 1 else "")
    return f"{words.number_to_words(above)} {part}"


_STEPS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?:^|\s+)-(?=\d)"), lambda _: "negative "),  # the look-up splits it from the word before
    (re.compile(r"[0-9][0-9,]+[0-9]"), lambda number: number[0].replace(",", "")),
    (re.compile(r"\b([01]?[0-9]|2[0-3]):([0-5][0-9])\b"), _time),
    (re.compile(r"\b([0-9]+(\.[0-9]+)?(m|km|km/h|ft|L|tbsp|tsp|h|min|s|°C|°F))\b"), _measure),
    (re.compile(r"£([0-9.,]*[0-9]+)"), _money(_POUNDS)),
    (re.compile(r"([0-9.,]*[0-9]+)£"), _money(_POUNDS)),
    (re.compile(r"\$([0-9.,]*[0-9]+)"), _money(_DOLLARS)),
    (re.compile(r"([(0-9.,]*[0-9]+)\$"), _money(_DOLLARS)),
    (re.compile(r"([0-9]+\.\s*[0-9]+)"), _decimal),
    (re.compile(r"[0-9]+/[0-9]+"), _fraction),
    (re.compile(r"[0-9]+(?:st|nd|rd|th)"), lambda ordinal: str(_words().number_to_words(ordinal[0]))),
    (re.compile(r"[0-9]+"), _number),
)
"""Patterns of numbers and their words, applied in this order: the longer and more special ones come first."""


def normalized(text: str) -> str:
    """`text` as it is read aloud, without repeated punctuation."""
    text = text.translate(str.maketrans("。！？", ".!?"))
    text = re.sub(r"\b([0-9]+)\. ", lambda number: f"{_words().ordinal(number[1])}, ", text)
    while _SUM.search(text):
        text = _SUM.sub(lambda sum_: sum_[1] + _SIGNS[sum_[2]] + sum_[3], text)
    for pattern, say in _STEPS:
        text = pattern.sub(say, text)
    decomposed = unicodedata.normalize("NFD", text)
    text = "".join(character for character in decomposed if unicodedata.category(character) != "Mn")
    text = re.sub(r"[^ A-Za-z'.,?!\-]", "", text.replace("%", " percent"))
    text = re.sub(r"(?i)i\.e\.", "that is", text)
    text = re.sub(r"(?i)e\.g\.", "for example", text)
    text = re.sub(r"(?<!^)(?<!\s)([A-Z])", r" \1", text)  # capitals within a word are letters of their own
    return _REPEATED.sub(r"\1", text)
