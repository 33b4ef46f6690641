"""What encoders write to while they stream, and what is taken from it piece by piece."""

from __future__ import annotations

from typing import Any


class Pipe:
    """A file to write to alone. It has no `seek`, by which libav sees that no header can be rewritten."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: Any) -> int:
        """Keep a copy of `data`, bytes or a buffer of them."""
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """What was written since the last time."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken
