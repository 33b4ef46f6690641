"""The in-memory file that encoders write to while they stream."""

from __future__ import annotations

from typing import Any


class Pipe:
    """A write-only file. It has no `seek`, which shows libav that headers cannot be rewritten."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: Any) -> int:
        """Keep a copy of `data`, bytes or a buffer of them."""
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Return the bytes written since the last call."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
