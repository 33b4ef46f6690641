"""Tiny codecs with random weights, written like the releases: their names, weight-norm styles, wrappers and sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from hub_fish_speech.checkpoint.codec import DAC_SIZES, FIREFLY_SIZES, load_codec, read_sizes
from hub_fish_speech.model.codec.codec import Codec
from hub_fish_speech.model.codec.dac import Dac
from hub_fish_speech.model.codec.firefly import Firefly
from hub_fish_speech.model.codec.sizes import DacSizes, FireflySizes
from torch import Tensor, nn

Norming = Callable[[str, Tensor], dict[str, Tensor]]


def windowed(width: int, inputs: int, window: int) -> dict[str, Any]:
    """A `pre_module` or `post_module`."""
    inner = {"n_layer": 2, "n_head": 2, "dim": width, "intermediate_size": 3 * width, "head_dim": width // 2}
    return {"window_size": window, "input_dim": inputs, "causal": True, "config": {**inner, "norm_eps": "1e-5"}}


def dac(**quantizer: Any) -> dict[str, Any]:
    """A DAC of 64 samples a frame."""
    modules = {"pre_module": windowed(16, 64, 5), "post_module": windowed(64, 64, 6)}
    sizes = {"input_dim": 64, "n_codebooks": 2, "codebook_size": 50, "codebook_dim": 4, "semantic_codebook_size": 90}
    return {
        "encoder_dim": 16,
        "encoder_rates": [4, 4],
        "encoder_transformer_layers": [0, 1],
        "decoder_dim": 32,
        "decoder_rates": [4, 4],
        "decoder_transformer_layers": [1, 0],
        "quantizer": sizes | {"downsample_factor": [2, 2], **modules} | quantizer,
    }


def firefly(**quantizer: Any) -> dict[str, Any]:
    """A firefly of 128 samples a frame."""
    sizes = {"input_dim": 24, "n_groups": 4, "n_codebooks": 1, "levels": [8, 5, 5, 5], "downsample_factor": [2, 2]}
    return {
        "spec_transform": {"n_mels": 16, "n_fft": 128, "hop_length": 32, "win_length": 128},
        "backbone": {"input_channels": 16, "depths": [1, 2], "dims": [20, 24], "kernel_size": 7},
        "head": {
            "hop_length": 32,
            "upsample_rates": [4, 4, 2],
            "upsample_kernel_sizes": [8, 12, 3],  # twice, thrice, and one and a half times the rate
            "resblock_kernel_sizes": [3, 7],
            "resblock_dilation_sizes": [[1, 3], [1, 5, 2, 9]],  # a fourth one is not used
            "num_mels": 24,
            "upsample_initial_channel": 32,
        },
        "quantizer": sizes | quantizer,
    }


CODECS = {
    "dac": dac(),
    "dac, one factor": dac(downsample_factor=[3], n_codebooks=3),
    "firefly": firefly(),
    "firefly, residual": firefly(n_codebooks=2, n_groups=3, levels=[7, 5]),
}


@dataclass
class Built:
    """The files of a codec: the tensors by the vendor's names, the sizes, and the names of both files."""

    state: dict[str, Tensor]
    weights: str
    sizes: dict[str, Any]
    sizes_file: str

    def write(self, folder: Path, state: object = None) -> Path:
        """Write both files, with `state` as the content of the weights' file if it is given."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(self.state if state is None else state, folder / self.weights)
        (folder / self.sizes_file).write_text(yaml.safe_dump({"_target_": "some.Codec", **self.sizes}))
        return folder


def build(name: str, folder: Path, norming: Norming | None = None, *, sizes: dict[str, Any] | None = None) -> Built:
    """The codec `name` of CODECS, or one of other `sizes`, with random weights. `folder` is for scratch."""
    sizes = sizes or CODECS[name]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "sizes.yaml"
    file.write_text(yaml.safe_dump(sizes))
    torch.manual_seed(1)
    network: Dac | Firefly
    if name.startswith("dac"):
        network, weights, sizes_file = Dac(read_sizes(file, DacSizes)), "codec.pth", DAC_SIZES
    else:
        network, weights = Firefly(read_sizes(file, FireflySizes)), "firefly-gan-vq-tiny-generator.pth"
        sizes_file = FIREFLY_SIZES
    lively(network)
    state: dict[str, Tensor] = {}
    for key, value in network.state_dict().items():
        state |= normed(key, value, norming or released) if _is_normed(key) else {key: value}
    return Built(state, weights, sizes, sizes_file)


def load(path: Path) -> Codec:
    """The codec in a folder or a file, on the CPU."""
    return load_codec(path, torch.device("cpu"))


def lively(network: nn.Module) -> None:
    """Random weights that every part of the output depends on."""
    for key, value in network.named_parameters():
        if key.endswith("gamma"):
            nn.init.uniform_(value, 0.3, 0.6)
        elif key.endswith("alpha"):
            nn.init.uniform_(value, 0.5, 2.0)
        elif value.dim() == 1:
            nn.init.uniform_(value, 0.05, 0.15) if key.endswith("bias") else nn.init.uniform_(value, 0.8, 1.2)
        else:
            nn.init.normal_(value, std=0.7 / value[0].numel() ** 0.5)


def released(module: str, weight: Tensor) -> dict[str, Tensor]:
    """Weight norm as in the releases, which mix the two styles."""
    return old_norm(module, weight) if module.endswith("_proj") else new_norm(module, weight)


def old_norm(module: str, weight: Tensor) -> dict[str, Tensor]:
    """Weight norm in torch's old style."""
    gain, direction = _parts(weight)
    return {f"{module}.weight_g": gain, f"{module}.weight_v": direction}


def new_norm(module: str, weight: Tensor) -> dict[str, Tensor]:
    """Weight norm in the style of torch's parametrizations."""
    gain, direction = _parts(weight)
    where = f"{module}.parametrizations.weight"
    return {f"{where}.original0": gain, f"{where}.original1": direction}


def plain(module: str, weight: Tensor) -> dict[str, Tensor]:
    """Folded already."""
    return {f"{module}.weight": weight}


def normed(key: str, value: Tensor, norming: Norming) -> dict[str, Tensor]:
    """One weight in that style."""
    return norming(key.removesuffix(".weight"), value)


def _parts(weight: Tensor) -> tuple[Tensor, Tensor]:
    return torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True), 3 * weight


def _is_normed(key: str) -> bool:
    in_gan = key.endswith(".conv.weight") and key.startswith(("encoder", "decoder", "head"))
    return in_gan or (key.endswith("_proj.weight") and "quantizer.quantizers" in key)
