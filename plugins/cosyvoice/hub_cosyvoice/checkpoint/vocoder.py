"""hift.pt -> the vocoder of its generation."""

from __future__ import annotations

from pathlib import Path

import torch

from hub.nn.weights import fold_weight_norm, load_state, load_strict
from hub_cosyvoice.config import Config
from hub_cosyvoice.model.vocoder.generator import Generator, Sizes
from hub_cosyvoice.model.vocoder.source import Kind, PitchPredictor, Source

PITCH_PREFIX = "f0_predictor."

GAN_PREFIX = "generator."
"""A prefix of all names in checkpoints that were cut out of the GAN's trainer."""


def load_vocoder(folder: Path, config: Config, device: torch.device) -> Generator:
    """`hift.pt` of a checkpoint, ready to use, in float32. Raises CheckpointError if it does not fit the yaml."""
    vocoder = build_vocoder(config)
    state = {key.removeprefix(GAN_PREFIX): value for key, value in load_state(folder / "hift.pt").items()}
    if vocoder.causal:  # its pitch is computed in float64 from there on, the folding of the weights included
        vocoder.f0_predictor.double()
        state = {key: value.double() if key.startswith(PITCH_PREFIX) else value for key, value in state.items()}
    load_strict(vocoder, fold_weight_norm(state), "hift.pt")
    return ready(vocoder, device)


def ready(vocoder: Generator, device: torch.device) -> Generator:
    """Move a vocoder that has its weights to `device`. It stays in float32: phases need the precision.

    Its pitch needs float64, which MPS does not have: there it stays on the CPU.
    """
    return vocoder.eval().requires_grad_(False).to(device="cpu" if device.type == "mps" else device)


def build_vocoder(config: Config) -> Generator:
    """The module that the yaml describes, without weights."""
    node = config.hift
    causal = config.generation == 3
    istft = node["istft_params"]
    sizes = Sizes(
        bands=node["in_channels"],
        width=node["base_channels"],
        rates=node["upsample_rates"],
        kernels=node["upsample_kernel_sizes"],
        n_fft=istft["n_fft"],
        hop=istft["hop_len"],
        block_kernels=node["resblock_kernel_sizes"],
        block_dilations=node["resblock_dilation_sizes"],
        source_kernels=node["source_resblock_kernel_sizes"],
        source_dilations=node["source_resblock_dilation_sizes"],
        slope=node.get("lrelu_slope", 0.1),
        limit=node.get("audio_limit", 0.99),
        look_right=node.get("conv_pre_look_right", 4) if causal else 0,
    )
    hop = istft["hop_len"]
    for rate in sizes.rates:
        hop *= rate
    kind: Kind = "sample" if node["sampling_rate"] == 22_050 else ("nearest" if causal else "linear")
    source = Source(
        harmonics=node.get("nb_harmonics", 8),
        sample_rate=node["sampling_rate"],
        hop=hop,
        kind=kind,
        amplitude=node.get("nsf_alpha", 0.1),
        noise=node.get("nsf_sigma", 0.003),
        threshold=node.get("nsf_voiced_threshold", 10),
    )
    predictor = node["f0_predictor"]
    pitch = PitchPredictor(predictor["in_channels"], predictor["cond_channels"], causal)
    return Generator(sizes, source, pitch, causal)
