"""Inline pauses: `[pause:1s]`, `[pause:500ms]`. The hub makes them; no model reads one."""

from __future__ import annotations

import re
from typing import NamedTuple

from hub.contract.errors import InvalidRequest

LONGEST = 30.0
"""The longest pause, in seconds."""

_BEGIN = re.compile(r"\[\s*pause\s*:", re.I)
_PAUSE = re.compile(r"\[pause:(?P<number>\d{1,6}(?:\.\d{1,6})?)(?P<unit>ms|s)\]", re.I | re.A)


class Stretch(NamedTuple):
    """Text between two pauses: `text` is `original[start:end]`."""

    text: str
    start: int
    end: int


class Pause(NamedTuple):
    """A silence."""

    seconds: float


def split_pauses(text: str) -> list[Stretch | Pause]:
    """Split `text` into its pauses and the text between them, in order. Raises InvalidRequest for an invalid pause."""
    parts: list[Stretch | Pause] = []
    at = 0
    for begin in _BEGIN.finditer(text):
        found = _PAUSE.match(text, begin.start())
        if found is None:
            shown = text[begin.start() : begin.start() + 30]
            raise InvalidRequest(f"invalid pause {shown!r}; write [pause:1s], [pause:0.5s] or [pause:500ms]")
        seconds = float(found["number"]) / (1000 if found["unit"].lower() == "ms" else 1)
        if seconds > LONGEST:
            raise InvalidRequest(f"the pause {found[0]!r} is too long; the limit is {LONGEST:g} seconds")
        if at < begin.start():
            parts.append(Stretch(text[at : begin.start()], at, begin.start()))
        parts.append(Pause(seconds))
        at = found.end()
    if at < len(text) or not parts:
        parts.append(Stretch(text[at:], at, len(text)))
    return parts


def without_pauses(text: str) -> str:
    """Return `text` with a space for each pause. Raises InvalidRequest as `split_pauses` does."""
    if "[" not in text:
        return text
    return " ".join(part.text for part in split_pauses(text) if isinstance(part, Stretch))
