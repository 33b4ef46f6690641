"""The keys and values of earlier positions, as one step of a language model sees them.

B is the batch (always 1 here), G key/value heads, T new positions, S visible positions, D the width of a head.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from hub.nn.decode import KVCache, prefix_mask


class CacheView(Protocol):
    """The positions before the new ones, and where the new ones go."""

    @property
    def positions(self) -> Tensor:
        """The new positions, (T,) int64."""
        ...

    @property
    def visible(self) -> int:
        """The number of keys that `write` returns."""
        ...

    @property
    def mask(self) -> Tensor | None:
        """(T, S) bool, True where a key is visible; None if all keys up to the query's own position are."""
        ...

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keep (B, G, T, D) of both; returns all that is visible of both, (B, G, S, D)."""
        ...


class Filled:
    """Exactly the filled positions: for the host's own loop, and for every prefill."""

    mask: Tensor | None = None

    def __init__(self, cache: KVCache, start: int, steps: int) -> None:
        self._cache, self._start = cache, start
        self.visible = start + steps
        self.positions = torch.arange(start, self.visible, device=cache.keys.device)

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store both after the filled positions."""
        return self._cache.write(layer, self._start, key, value)


class Padded:
    """A fixed number of keys, with a mask over the empty ones: for steps inside a CUDA graph."""

    def __init__(self, cache: KVCache, positions: Tensor, visible: int) -> None:
        self._cache = cache
        self.positions, self.visible = positions, visible
        self.mask: Tensor | None = prefix_mask(positions, visible)

    def write(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keep both at `positions`."""
        return self._cache.write_at(layer, self.positions, key, value, self.visible)
