"""Phones and their ids: the tables that the text embeddings of the checkpoints were trained with.

`data/symbols.json` holds, in order of their ids, the 322 symbols of v1 and the 732 of every later version, and for each
pinyin syllable without tone its two phones.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

PUNCTUATION = ("!", "?", "…", ",", ".", "-")
"""Marks that are phones themselves."""

MARKS = "".join(PUNCTUATION[:-1]) + "\\-"
"""The same, for the inside of a regular expression's [...]."""


@functools.cache
def _tables() -> dict[str, Any]:
    text = files("hub_gpt_sovits.text").joinpath("data/symbols.json").read_text(encoding="utf-8")
    tables: dict[str, Any] = json.loads(text)
    return tables


@functools.cache
def symbol_ids(version: str) -> dict[str, int]:
    """Phone -> id, for `v1` or `v2` (all later versions)."""
    return {symbol: number for number, symbol in enumerate(_tables()[version])}


@functools.cache
def pinyin_phones() -> dict[str, tuple[str, str]]:
    """Pinyin without tone -> initial and final as they are written in the symbol tables."""
    return {syllable: (initial, final) for syllable, (initial, final) in _tables()["pinyin_to_phones"].items()}


def ids_of(phones: Iterable[str], version: str) -> tuple[int, ...]:
    """The ids of `phones`; one that is in no table is `UNK`."""
    table = symbol_ids(version)
    unknown = table["UNK"]
    return tuple(table.get(phone, unknown) for phone in phones)
