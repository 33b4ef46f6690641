"""What a step of a language model sees of the steps before it.

B is the batch (always 1 here), G key/value heads, T new positions, S seen positions, D the width of a head.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from hub.nn.decode import KVCache, prefix_mask


class Past(Protocol):
    """The positions before, and where the new ones go."""

    @property
    def positions(self) -> Tensor:
        """The places of the new positions, (T,) int64."""
        ...

    @property
    def seen(self) -> int:
        """How many keys `write` gives back."""
        ...

    @property
    def mask(self) -> Tensor | None:
        """(T, S) bool, True where a key is seen; None if that is all up to the query's own place."""
        ...

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keep (B, G, T, D) of both; all that is seen of both, (B, G, S, D)."""
        ...


class Filled:
    """Exactly what is filled: the host's own loop, and every prefill."""

    mask: Tensor | None = None

    def __init__(self, cache: KVCache, start: int, steps: int) -> None:
        self._cache, self._start = cache, start
        self.seen = start + steps
        self.positions = torch.arange(start, self.seen, device=cache.keys.device)

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """See `Past`."""
        return self._cache.write(layer, self._start, key, value)


class Padded:
    """A fixed number of keys, what is not filled masked: inside of a CUDA graph."""

    def __init__(self, cache: KVCache, positions: Tensor, seen: int) -> None:
        self._cache = cache
        self.positions, self.seen = positions, seen
        self.mask: Tensor | None = prefix_mask(positions, seen)

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """See `Past`."""
        return self._cache.write_at(layer, self.positions, key, value, self.seen)
