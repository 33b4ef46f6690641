"""The delay pattern: codebook k of a frame comes k steps after codebook 0 (Copet et al. 2023, arXiv:2306.05284).

The language model works on columns of delayed ids, among them a first column of BOS and a last one of EOS. The codec
works on frames of codes. `bos` and `eos` are the two ids above the codebook.
"""

from __future__ import annotations

import torch
from torch import Tensor


def apply_delay(codes: Tensor, bos: int, eos: int) -> Tensor:
    """Codes (K, T) -> delayed columns (K, T + 2 + K - 1), BOS before and EOS after the codes of each codebook."""
    books, frames = codes.shape
    columns = codes.new_full((books, frames + 1 + books), eos)
    for book in range(books):
        columns[book, : book + 1] = bos
        columns[book, book + 1 : book + 1 + frames] = codes[book]
    return columns


def revert_delay(columns: Tensor, size: int) -> Tensor:
    """Generated columns (K, F), the first all BOS -> codes (K, F - K - 1), none if there are fewer columns.

    The first and the last frame, which hold BOS and EOS, are dropped. Ids above the codebook of `size` are clipped.
    """
    books, length = columns.shape
    frames = max(0, length - books - 1)
    rows = [columns[book, book + 1 : book + 1 + frames] for book in range(books)]
    return torch.stack(rows).clamp(0, size - 1)


class DelayReverter:
    """`revert_delay` for the columns of one reply as they arrive.

    Once the pattern is filled, each column completes a frame, which is final: the frame that the last column would
    complete is the one that `revert_delay` drops at the end.
    """

    def __init__(self, bos: int, size: int) -> None:
        self._bos = bos
        self._size = size
        self._columns: list[Tensor] = []

    def feed(self, column: Tensor) -> Tensor:
        """The next column (K,) -> the frame (K, 1) that is complete now, or (K, 0)."""
        if bool((column == self._bos).all()):
            self._columns = []  # another audio begins
        self._columns.append(column)
        books = len(column)
        first = len(self._columns) - books - 1  # the column with codebook 0 of the frame
        if first < 1:
            return torch.zeros(books, 0, dtype=torch.long)
        frame = torch.stack([self._columns[first + book][book] for book in range(books)])
        return frame[:, None].clamp(0, self._size - 1)
