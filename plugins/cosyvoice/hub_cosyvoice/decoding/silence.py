"""Silence and breath of the third generation: more than a few of these tokens in a row never reach the flow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

SILENT = frozenset({1, 2, 28, 29, 55, 248, 494, 2241, 2242, 2322, 2323})
"""Tokens that sound like silence or breath."""

MOST_SILENT = 5
"""Silent tokens in a row; further ones are dropped."""


def without_long_silence(tokens: Iterable[int]) -> Iterator[int]:
    """`tokens` for the flow, with long silence shortened; the language model has already read all of them."""
    run = 0
    for token in tokens:
        run = run + 1 if token in SILENT else 0
        if run <= MOST_SILENT:
            yield token
