"""The files of a codec -> Codec."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec
import torch
import yaml
from msgspec import Struct

from hub.nn.weights import CheckpointError, fold_weight_norm, load_state, load_strict, without_prefix
from hub_fish_speech.model.codec.codec import Codec
from hub_fish_speech.model.codec.dac import Dac
from hub_fish_speech.model.codec.firefly import Firefly
from hub_fish_speech.model.codec.layers import prepare
from hub_fish_speech.model.codec.sizes import DacSizes, FireflySizes

DAC_WEIGHTS, DAC_SIZES = "codec.pth", "modded_dac_vq.yaml"
FIREFLY_WEIGHTS, FIREFLY_SIZES = "firefly*.pth", "firefly_gan_vq.yaml"

_USELESS = ("freqs_cis", "causal_mask")
"""Old buffers in files of the S1 era: tables that are computed."""

SizesT = TypeVar("SizesT", bound=Struct)


def load_codec(path: Path, device: torch.device) -> Codec:
    """The codec of a checkpoint folder, or of a file of weights, in float32. Raises CheckpointError.

    The names of its weights show which of the two codecs it is.
    """
    weights = path if path.is_file() else _find(path)
    state = load_state(weights)
    if any(key.startswith("generator.") for key in state):  # a training checkpoint, with its discriminators
        state = without_prefix(state, "generator.")
    state = fold_weight_norm({key: value.float() for key, value in state.items() if not key.endswith(_USELESS)})
    network: Dac | Firefly
    if any(key.startswith("backbone.") for key in state):
        firefly = read_sizes(weights.parent / FIREFLY_SIZES, FireflySizes)
        with torch.device("meta"):
            network = Firefly(firefly)
    else:
        dac = read_sizes(weights.parent / DAC_SIZES, DacSizes)
        with torch.device("meta"):
            network = Dac(dac)
    load_strict(network, state, weights.name)
    network.eval().requires_grad_(False).to(device)
    prepare(network)
    return Codec(network, device)


def read_sizes(file: Path, kind: type[SizesT]) -> SizesT:
    """The sizes in `file`, or those of the release if there is no such file. Raises CheckpointError."""
    if not file.is_file():
        return kind()
    try:
        # lax, because YAML 1.1 reads 1e-5 as a string
        return msgspec.convert(yaml.safe_load(file.read_text("utf-8")), kind, strict=False)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CheckpointError(f"{file.name} cannot be read as YAML", file=file.name) from error
    except msgspec.ValidationError as error:
        raise CheckpointError(f"{file.name} describes an unknown codec: {error}", file=file.name) from error


def _find(folder: Path) -> Path:
    """The codec's weights among the files of a release."""
    for pattern in (DAC_WEIGHTS, FIREFLY_WEIGHTS):
        if found := sorted(folder.glob(pattern)):
            return found[0]
    raise CheckpointError(
        f"the checkpoint has no codec: neither {DAC_WEIGHTS} (S1, S2) nor {FIREFLY_WEIGHTS} (1.4, 1.5)",
        file=DAC_WEIGHTS,
    )
