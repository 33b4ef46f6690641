"""Inline pauses: `[pause:1s]`, `[pause:500ms]`. They are the hub's to make; no model ever reads one."""

from __future__ import annotations

import re
from typing import NamedTuple

from hub.contract.errors import InvalidRequest

LONGEST = 30.0
"""Seconds of one pause at most."""

_BEGIN = re.compile(r"\[\s*pause\s*:", re.I)
_PAUSE = re.compile(r"\[pause:(?P<number>\d{1,6}(?:\.\d{1,6})?)(?P<unit>ms|s)\]", re.I | re.A)


class Stretch(NamedTuple):
    """What is spoken in one go: `text` is `original[start:end]`."""

    text: str
    start: int
    end: int


class Pause(NamedTuple):
    """So many seconds of silence."""

    seconds: float


def split_pauses(text: str) -> list[Stretch | Pause]:
    """The pauses of `text` and what stands between them, in order. Raises InvalidRequest for one that is misspelt."""
    parts: list[Stretch | Pause] = []
    at = 0
    for begin in _BEGIN.finditer(text):
        found = _PAUSE.match(text, begin.start())
        if found is None:
            shown = text[begin.start() : begin.start() + 30]
            raise InvalidRequest(f"{shown!r} is no pause; write [pause:1s], [pause:0.5s] or [pause:500ms]")
        seconds = float(found["number"]) / (1000 if found["unit"].lower() == "ms" else 1)
        if seconds > LONGEST:
            raise InvalidRequest(f"{found[0]!r} is too long; one pause may last {LONGEST:g} seconds")
        if at < begin.start():
            parts.append(Stretch(text[at : begin.start()], at, begin.start()))
        parts.append(Pause(seconds))
        at = found.end()
    if at < len(text) or not parts:
        parts.append(Stretch(text[at:], at, len(text)))
    return parts


def without_pauses(text: str) -> str:
    """`text` with a space for each pause. Raises InvalidRequest as `split_pauses`."""
    if "[" not in text:
        return text
    return " ".join(part.text for part in split_pauses(text) if isinstance(part, Stretch))
