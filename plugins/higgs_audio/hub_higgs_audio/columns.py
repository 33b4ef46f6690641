"""Delayed columns to frames of codes, as they come."""

from __future__ import annotations

import torch
from torch import Tensor

from hub_higgs_audio.model.generate import AudioColumn


class Columns:
    """One reply's columns. Each of them completes one frame once the pattern has filled, and never takes one back:
    what is dropped at the end (`revert_delay`) is the frame that the last column would complete."""

    def __init__(self, bos: int, codebook_size: int) -> None:
        self._bos = bos
        self._size = codebook_size
        self._columns: list[Tensor] = []

    def feed(self, column: AudioColumn) -> Tensor:
        """(K, 1) the frame that is complete now, or (K, 0)."""
        if bool((column.ids == self._bos).all()):
            self._columns = []  # another audio begins
        self._columns.append(column.ids)
        books = len(column.ids)
        first = len(self._columns) - books - 1  # the column that codebook 0 of the frame stands in
        if first < 1:
            return torch.zeros(books, 0, dtype=torch.long)
        frame = torch.stack([self._columns[first + book][book] for book in range(books)])
        return frame[:, None].clamp(0, self._size - 1)
