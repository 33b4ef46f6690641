"""Tokens: the ids that a neural codec turns audio into, and back into audio."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct


class Tokens(Struct, frozen=True):
    """A matrix of token ids, (codebooks, frames).

    `ids` is 32-bit signed little-endian, row by row: the ids of the first codebook, then those of the second, ...
    """

    ids: bytes
    codebooks: int

    @classmethod
    def of(cls, ids: Any) -> Tokens:
        """Wrap `ids`: a two-dimensional, contiguous int32 buffer (a numpy array, a CPU tensor's `.int().numpy()`).

        Raises TypeError for any other shape or type: a silent conversion would hide a bug.
        """
        view = memoryview(ids)
        if view.format not in ("i", "<i") or view.ndim != 2 or not view.c_contiguous:
            raise TypeError(
                "Tokens.of needs a contiguous two-dimensional int32 buffer, "
                f"not format {view.format!r} with shape {view.shape}"
            )
        return cls(ids=view.tobytes(), codebooks=view.shape[0])  # type: ignore[index]

    @classmethod
    def from_rows(cls, rows: Iterable[Sequence[int]]) -> Tokens:
        """Join lists, one per codebook. Raises ValueError if they differ in length, OverflowError beyond 32 bits."""
        given = list(rows)
        if len({len(row) for row in given}) > 1:
            raise ValueError("the rows differ in length")
        return cls(ids=b"".join(array("i", row).tobytes() for row in given), codebooks=len(given))

    @property
    def frames(self) -> int:
        """The number of tokens in each codebook."""
        return len(self.ids) // 4 // self.codebooks if self.codebooks else 0

    @property
    def rows(self) -> list[list[int]]:
        """Lists, one per codebook. `numpy.frombuffer(tokens.ids, "<i4").reshape(tokens.codebooks, -1)` is the array."""
        ids = array("i", self.ids).tolist()
        return [ids[start : start + self.frames] for start in range(0, len(ids), self.frames or 1)]


class Encoded(Struct, kw_only=True, frozen=True):
    """The tokens of a recording that lasts `seconds`, made by the codec of `model`."""

    model: str
    tokens: Tokens
    seconds: float
