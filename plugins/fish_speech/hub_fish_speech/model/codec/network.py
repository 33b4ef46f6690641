"""What both codecs' networks do, and how one is found in a folder and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from hub.nn.weights import CheckpointError, fold_weight_norm, load_state, load_strict, without_prefix
from hub_fish_speech.codec.config import DacSizes, FireflySizes, read_sizes
from hub_fish_speech.codec.dac import Dac
from hub_fish_speech.codec.firefly import Firefly
from hub_fish_speech.codec.layers import State, prepare

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


def load_network(path: Path, device: torch.device) -> Dac | Firefly:
    """The codec in a checkpoint folder, or of a file of weights, float32, ready to run. Raises CheckpointError.

    Which of the two it is, the names of its weights tell.
    """
    weights = path if path.is_file() else _find(path)
    state = load_state(weights)
    if any(key.startswith("generator.") for key in state):  # a training checkpoint, with its discriminators
        state = without_prefix(state, "generator.")
    state = fold_weight_norm({key: value.float() for key, value in state.items() if not key.endswith(_USELESS)})
    network: Dac | Firefly
    if any(key.startswith("backbone.") for key in state):
        firefly = read_sizes(weights.parent / "firefly_gan_vq.yaml", FireflySizes)
        with torch.device("meta"):
            network = Firefly(firefly)
    else:
        dac = read_sizes(weights.parent / "modded_dac_vq.yaml", DacSizes)
        with torch.device("meta"):
            network = Dac(dac)
    load_strict(network, state, weights.name)
    network.eval().requires_grad_(False).to(device)
    prepare(network)
    return network


def _find(folder: Path) -> Path:
    """The codec's weights among the files of a release."""
    for pattern in (DAC_WEIGHTS, FIREFLY_WEIGHTS):
        if found := sorted(folder.glob(pattern)):
            return found[0]
    raise CheckpointError(
        f"the checkpoint has no codec: neither {DAC_WEIGHTS} (S1, S2) nor {FIREFLY_WEIGHTS} (1.4, 1.5)",
        file=DAC_WEIGHTS,
    )
