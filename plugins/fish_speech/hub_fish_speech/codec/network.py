"""What both codecs' networks do, and how one is found in a folder and loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from hub.nn.weights import CheckpointError, fold_weight_norm, load_state, load_strict, without_prefix
from hub_fish_speech.codec.config import DacSizes, FireflySizes, read_sizes
from hub_fish_speech.codec.dac import Dac
from hub_fish_speech.codec.firefly import Firefly
from hub_fish_speech.codec.layers import State, prepare

NetworkT = TypeVar("NetworkT", Dac, Firefly)
DAC_WEIGHTS = "codec.pth"
FIREFLY_WEIGHTS = "firefly*.pth"
_USELESS = ("freqs_cis", "causal_mask")
"""Old buffers in files of the S1 era: tables that are computed."""


class Network(Protocol):
    """Samples <-> ids. B signals of equal length at a time; `state` is what their past left (see `layers`)."""

    sample_rate: int
    frame: int
    """Samples of one column of ids."""
    steps: int
    """Steps of the latents in one column of ids."""
    shortest: int
    """The fewest samples that can be encoded."""

    @property
    def entries(self) -> tuple[int, ...]:
        """How many ids each row has."""
        ...

    def filled(self, samples: int) -> int:
        """How many of the columns of a recording of so many samples the vendor counts as filled."""
        ...

    def encode(self, wave: Tensor, window: int) -> Tensor:
        """Samples (B, N) -> ids (B, C, T), `window` columns at a time."""
        ...

    def dequantize(self, ids: Tensor, state: State) -> Tensor:
        """ids (B, C, T), none too great -> latents (B, T * steps, D)."""
        ...

    def synthesise(self, latent: Tensor, state: State) -> Tensor:
        """Latents (B, T * steps, D) -> samples (B, T * frame)."""
        ...


def load_network(folder: Path, device: torch.device) -> Dac | Firefly:
    """The codec that a checkpoint folder has, float32, ready to run. Raises CheckpointError."""
    if (weights := folder / DAC_WEIGHTS).is_file():
        sizes = read_sizes(folder / "modded_dac_vq.yaml", DacSizes)
        return _loaded(lambda: Dac(sizes), weights, device)
    if found := sorted(folder.glob(FIREFLY_WEIGHTS)):
        firefly_sizes = read_sizes(folder / "firefly_gan_vq.yaml", FireflySizes)
        return _loaded(lambda: Firefly(firefly_sizes), found[0], device)
    raise CheckpointError(
        f"the checkpoint folder has no codec: neither {DAC_WEIGHTS} (S1, S2) nor {FIREFLY_WEIGHTS} (1.4, 1.5)",
        file=DAC_WEIGHTS,
    )


def _loaded(make: Callable[[], NetworkT], weights: Path, device: torch.device) -> NetworkT:
    state = load_state(weights)
    if any(key.startswith("generator.") for key in state):  # a training checkpoint, with its discriminators
        state = without_prefix(state, "generator.")
    state = {key: value.float() for key, value in state.items() if not key.endswith(_USELESS)}
    with torch.device("meta"):
        network = make()
    load_strict(network, fold_weight_norm(state), weights.name)
    network.eval().requires_grad_(False).to(device)
    prepare(network)
    return network
