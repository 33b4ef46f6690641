"""Text as the models read it: numbers and symbols in words, punctuation that they know.

The steps and their order are CosyVoice's own. A text with both `<|` and `|>` is in the models' control language and is
left as it is.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import Protocol

from hub_cosyvoice.text.numbers import in_words
from hub_cosyvoice.text.split import Length, split

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_TRAILING_COMMAS = re.compile(r"[，,、]+$")
_DIGITS = re.compile(r"\d+")


class External(Protocol):
    """An external normaliser, such as wetext."""

    def normalise(self, text: str, *, chinese: bool) -> str:
        """`text` with its numbers, dates and units in words."""
        ...


class Normaliser:
    """CosyVoice's text front end. It holds no state of a text, so one serves all requests."""

    def __init__(self, length: Length, external: External | None = None, *, as_official: bool = False) -> None:
        """`length` counts the token ids of a text. `as_official` reads digits such as ² as 0 outside of Chinese."""
        self._length = length
        self._external = external
        self._in_words = _official_numbers_in_words if as_official else _numbers_in_words

    def segments(self, text: str, *, enabled: bool = True) -> list[str]:
        """The segments of `text`, in order; none if it has nothing to say."""
        if not enabled or is_control(text) or not text:
            return [text]
        chinese, text = self._written(text.strip())
        length = len if chinese else self._length
        return split(text, chinese=chinese, length=length) if text else []

    def whole(self, text: str, *, enabled: bool = True) -> str:
        """The normalised text in one piece, for transcripts and instructions."""
        if not enabled or is_control(text) or not text:
            return text
        return self._written(text.strip())[1]

    def _written(self, text: str) -> tuple[bool, str]:
        """True if `text` counts as Chinese, and the normalised text."""
        chinese = is_chinese(text)
        if self._external is not None and text:
            text = self._external.normalise(text, chinese=chinese)
        return chinese, _chinese(text) if chinese else self._in_words(text)


def is_chinese(text: str) -> bool:
    """True if `text` has a Chinese character: the models tell the two ways of writing apart by that."""
    return _CHINESE.search(text) is not None


def is_control(text: str) -> bool:
    """True if `text` has tokens of the models' control language."""
    return "<|" in text and "|>" in text


def _chinese(text: str) -> str:
    text = _without_blanks(text.replace("\n", ""))
    text = text.replace("²", "平方").replace("³", "立方").replace(".", "。").replace(" - ", "，")
    for char in "（）【】`":
        text = text.replace(char, "")
    return _TRAILING_COMMAS.sub("。", text.replace("——", " "))


def _numbers_in_words(text: str) -> str:
    """`text` with its decimal numbers in words."""
    return _DIGITS.sub(lambda digits: in_words(digits.group()), text)


def _official_numbers_in_words(text: str) -> str:
    """The same, where digits such as ² are part of a number and count for nothing in it: "m²" becomes "mzero"."""
    runs = (("".join(run), digits) for digits, run in groupby(text, str.isdigit))
    return "".join(in_words("".join(filter(str.isdecimal, run)) or "0") if digits else run for run, digits in runs)


def _without_blanks(text: str) -> str:
    """`text` without its spaces, except between two ASCII characters other than spaces."""

    def stays(index: int) -> bool:
        neighbours = text[max(index - 1, 0)], text[min(index + 1, len(text) - 1)]
        return all(char.isascii() and char != " " for char in neighbours)

    return "".join(char for index, char in enumerate(text) if char != " " or stays(index))
