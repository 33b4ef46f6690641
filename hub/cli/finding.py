"""A finding: one line of the report of `ttshub check`."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["ok", "note", "problem"]


class Finding(msgspec.Struct):
    """One line of the report. A `note` may be intended; a `problem` will not work."""

    what: str
    name: str
    state: State
    finding: str
