"""Joining pieces of waveform without an audible seam: overlap-add at the offset of best correlation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

SEARCH = 320
"""Samples that a later piece may be shifted by."""


def best_offset(earlier: Tensor, later: Tensor, overlap: int, search: int = SEARCH) -> int:
    """The offset in `later` at which the end of `earlier` fits best: correlation over the root of the energy."""
    end = earlier[-overlap:].float()[None, None]
    start = later[: overlap + search].float()[None, None]
    if start.shape[-1] < overlap:
        return 0
    likeness = F.conv1d(start, end).flatten()
    energy = F.conv1d(start.square(), torch.ones_like(end)).flatten() + 1e-8
    return int((likeness / energy.sqrt()).argmax())


def joined_pair(earlier: Tensor, later: Tensor, overlap: int, search: int = SEARCH) -> tuple[Tensor, Tensor]:
    """(earlier without its last `overlap` samples, later from its best offset on with the seam faded in)."""
    later = later[best_offset(earlier, later, overlap, search) :].clone()
    end = earlier[-overlap:]
    size = min(overlap, len(later))
    fade = torch.hann_window(2 * overlap, device=later.device, dtype=torch.float32)
    later[:size] = fade[:size] * later[:size] + fade[overlap : overlap + size] * end[:size]
    return earlier[:-overlap], later


def overlap_add(pieces: Sequence[Tensor], overlap: int, search: int = SEARCH) -> Tensor:
    """Join waveforms (N,) whose ends overlap by `overlap` samples."""
    done: list[Tensor] = []
    current = pieces[0]
    for piece in pieces[1:]:
        finished, current = joined_pair(current, piece, overlap, search)
        done.append(finished)
    return torch.cat([*done, current])
