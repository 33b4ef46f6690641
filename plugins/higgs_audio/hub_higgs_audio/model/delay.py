"""The delay pattern: codebook k of a frame is spoken k steps after codebook 0 (Copet et al. 2023, arXiv:2306.05284).

The language model sees columns of delayed ids, a first one of BOS and a last one of EOS among them; the codec sees
frames of codes. `bos` and `eos` are the two ids above the codebook.
"""

from __future__ import annotations

import torch
from torch import Tensor


def apply_delay(codes: Tensor, bos: int, eos: int) -> Tensor:
    """Codes (K, T) -> delayed columns (K, T + 2 + K - 1), BOS before and EOS after each codebook's own."""
    books, frames = codes.shape
    columns = codes.new_full((books, frames + 1 + books), eos)
    for book in range(books):
        columns[book, : book + 1] = bos
        columns[book, book + 1 : book + 1 + frames] = codes[book]
    return columns


def revert_delay(columns: Tensor, size: int) -> Tensor:
    """Generated columns (K, F), the first all BOS -> codes (K, F - K - 1), none if there are fewer.

    The first and the last frame are dropped: they hold BOS and EOS. What is beyond the codebook of `size` is clipped.
    """
    books, length = columns.shape
    frames = max(0, length - books - 1)
    rows = [columns[book, book + 1 : book + 1 + frames] for book in range(books)]
    return torch.stack(rows).clamp(0, size - 1)
