"""The tokenizer: phones -> ids, by the tables that the checkpoints' text embeddings were trained with.

`data/symbols.json` holds, in order of their ids, the 322 symbols of v1 and the 732 of every later version, and the two
phones of each pinyin syllable without its tone.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

PUNCTUATION = ("!", "?", "…", ",", ".", "-")
"""Punctuation that has phones of its own."""

PUNCTUATION_CLASS = "".join(PUNCTUATION[:-1]) + "\\-"
"""The same for the inside of a regular expression's [...]."""


@functools.cache
def _tables() -> dict[str, Any]:
    text = files("hub_gpt_sovits").joinpath("data/symbols.json").read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables


@functools.cache
def symbol_ids(version: str) -> dict[str, int]:
    """Phone -> id, for `v1` or `v2` (all later versions)."""
    return {symbol: number for number, symbol in enumerate(_tables()[version])}


@functools.cache
def pinyin_phones() -> dict[str, tuple[str, str]]:
    """Pinyin without tone -> initial and final, as the symbol tables write them."""
    return {syllable: (initial, final) for syllable, (initial, final) in _tables()["pinyin_to_phones"].items()}


def ids_of(phones: Iterable[str], version: str) -> tuple[int, ...]:
    """The ids of `phones`; a phone outside of the table is `UNK`."""
    table = symbol_ids(version)
    unknown = table["UNK"]
    return tuple(table.get(phone, unknown) for phone in phones)
