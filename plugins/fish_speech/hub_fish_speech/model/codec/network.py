"""Network: the interface of both codecs' networks."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from hub_fish_speech.model.codec.layers import State


class Network(Protocol):
    """Samples <-> ids, of B signals of equal length. `state` is the past of one signal (see `layers`)."""

    sample_rate: int
    frame: int
    """Samples of one column of ids."""
    steps: int
    """Steps of the latents in one column of ids."""
    shortest: int
    """The fewest samples that can be encoded."""

    @property
    def entries(self) -> tuple[int, ...]:
        """The number of ids of each row."""
        ...

    def filled(self, samples: int) -> int:
        """The number of columns that the vendor counts as filled, for a recording of so many samples."""
        ...

    def encode(self, wave: Tensor, window: int) -> Tensor:
        """Samples (B, N) -> ids (B, C, T), `window` columns at a time."""
        ...

    def dequantize(self, ids: Tensor, state: State) -> Tensor:
        """ids (B, C, T), within the codebooks -> latents (B, T * steps, D)."""
        ...

    def synthesise(self, latent: Tensor, state: State) -> Tensor:
        """Latents (B, T * steps, D) -> samples (B, T * frame)."""
        ...
