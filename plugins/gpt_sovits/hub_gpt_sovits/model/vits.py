"""S2 of v1, v2, v2Pro and v2ProPlus: semantic tokens, phones and style -> waveform, by flow and HiFi-GAN."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from hub.nn.weights import fold_weight_norm
from hub_gpt_sovits.checkpoint import S2File
from hub_gpt_sovits.model.blank import filled
from hub_gpt_sovits.model.hifigan import HifiGan
from hub_gpt_sovits.model.prior import PriorEncoder, Quantizer, paced
from hub_gpt_sovits.model.style import StyleEncoder
from hub_gpt_sovits.model.wavenet import FeatureEncoder, Flow

NOISE_SCALE = 0.5
"""Share of the prior's deviation at inference."""

POSTERIOR_LAYERS = 16

Noise = Callable[[Sequence[int]], Tensor]
"""Draws standard normal noise of a shape."""


class Semantic(nn.Module):
    """The part of every S2: HuBERT features -> codes, codes and phones -> frames, spectrogram -> style."""

    version: str
    sampling_rate: int

    def __init__(self, weights: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        super().__init__()
        model = config["model"]
        semantic = weights["ssl_proj.weight"]
        self.sampling_rate = int(config["data"]["sampling_rate"])
        self.enc_p = PriorEncoder(
            semantic=semantic.shape[0],
            hidden=model["hidden_channels"],
            filters=model["filter_channels"],
            heads=model["n_heads"],
            layers=model["n_layers"],
            kernel=model["kernel_size"],
            symbols=weights["enc_p.text_embedding.weight"].shape[0],
            mrte_width=weights["enc_p.mrte.c_pre.weight"].shape[0],
            out=model["inter_channels"],
            dropout=float(model.get("p_dropout", 0.0)),
        )
        spectral = weights["ref_enc.spectral.0.fc.weight"]
        self.ref_enc = StyleEncoder(spectral.shape[1], spectral.shape[0], weights["ref_enc.fc.fc.weight"].shape[0])
        self.ssl_proj = nn.Conv1d(semantic.shape[1], semantic.shape[0], semantic.shape[2], stride=semantic.shape[2])
        self.quantizer = Quantizer(*weights["quantizer.vq.layers.0._codebook.embed"].shape)

    def codes(self, hubert: Tensor) -> Tensor:
        """HuBERT features (B, D, T) -> semantic codes (B, T // 2), 25 a second."""
        return self.quantizer.codebook.nearest(self.ssl_proj(hubert))

    def meeting_style(self, style: Tensor) -> Tensor:
        """The style as the text encoder takes it, (B, W, 1)."""
        return style

    def frames(self, codes: Tensor, text: Tensor, style: Tensor) -> Tensor:
        """Codes (1, T), `enc_p.read` text (1, C, N), style -> encoder frames (1, C, 2T)."""
        return self.enc_p.frames(self.quantizer.decode(codes), text, self.meeting_style(style))


class Vits(Semantic):
    """v1, v2, v2Pro, v2ProPlus. `with_posterior` also builds `enc_q`, which only training needs."""

    def __init__(self, file: S2File, *, with_posterior: bool = False) -> None:
        super().__init__(file.weights, file.config)
        model = file.config["model"]
        self.version = file.version
        inter, hidden, gin = model["inter_channels"], model["hidden_channels"], model["gin_channels"]
        self.dec = HifiGan(
            inter,
            width=model["upsample_initial_channel"],
            rates=model["upsample_rates"],
            kernels=model["upsample_kernel_sizes"],
            block_kernels=model["resblock_kernel_sizes"],
            block_dilations=model["resblock_dilation_sizes"],
            plain_blocks=str(model.get("resblock", "1")) != "1",
            condition=gin,
        )
        self.flow = Flow(inter, hidden, gin)
        self.enc_q: FeatureEncoder | None = None
        if with_posterior:
            bins = file.config["data"]["filter_length"] // 2 + 1
            self.enc_q = FeatureEncoder(bins, hidden, 2 * inter, POSTERIOR_LAYERS, gin)
        self.with_speaker = "sv_emb.weight" in file.weights
        if self.with_speaker:
            self.sv_emb = nn.Linear(file.weights["sv_emb.weight"].shape[1], gin)
            self.ge_to512 = nn.Linear(gin, file.weights["ge_to512.weight"].shape[0])
            self.prelu = nn.PReLU(gin)
        samples = 1
        for rate in model["upsample_rates"]:
            samples *= rate
        self.samples_per_frame = samples

    def style(self, spec: Tensor, speaker: Tensor | None = None) -> Tensor:
        """Spectrogram (1, bins, T) and, for v2Pro, speaker vector (1, S) -> style (1, gin, 1)."""
        style = self.ref_enc(spec)
        if self.with_speaker:
            if speaker is None:
                raise ValueError("v2Pro needs a speaker vector")
            style = self.prelu(style + self.sv_emb(speaker).unsqueeze(-1))
        return style

    def meeting_style(self, style: Tensor) -> Tensor:
        return self.ge_to512(style.transpose(1, 2)).transpose(1, 2) if self.with_speaker else style

    def prior(self, codes: Tensor, phones: Tensor, style: Tensor, speed: float = 1.0) -> tuple[Tensor, Tensor]:
        """Codes (1, T), phones (1, N), style -> mean and log deviation, (1, inter, frames) at 50 frames a second."""
        return self.enc_p.moments(paced(self.frames(codes, self.enc_p.read(phones), style), speed))

    def sound(self, mean: Tensor, log: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Draw from the prior with `noise` (its shape) and decode -> (1, 1, frames * samples_per_frame)."""
        z = self.flow.reverse(mean + noise * log.exp() * NOISE_SCALE, None, style)
        return self.dec(z, style)

    def decode(self, codes: Tensor, phones: Tensor, style: Tensor, noise: Noise, speed: float = 1.0) -> Tensor:
        """Codes (1, T), phones (1, N), style (1, gin, 1) -> waveform (1, 1, N) at 32 kHz."""
        mean, log = self.prior(codes, phones, style, speed)
        return self.sound(mean, log, style, noise(mean.shape))


def build_vits(file: S2File, *, with_posterior: bool = False) -> Vits:
    """The network of a whole S2 file of v1, v2, v2Pro or v2ProPlus, in eval mode. Raises CheckpointError."""
    state = fold_weight_norm(file.weights)
    if not with_posterior:
        state = {name: value for name, value in state.items() if not name.startswith("enc_q.")}
    return filled(lambda: Vits(file, with_posterior=with_posterior), state, file.name)
