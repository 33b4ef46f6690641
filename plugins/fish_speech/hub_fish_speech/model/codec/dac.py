"""The modded DAC, the codec of S1 and S2 (https://arxiv.org/abs/2306.06546, made causal, with transformers).

Names and nesting of the modules are those of the weights. The releases' configuration also mentions transformers in the
decoder; they were never attached, and no weights of them exist.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hub_fish_speech.model.codec.layers import CausalConv, CausalTransposedConv, Chain, Snake, State
from hub_fish_speech.model.codec.sizes import DacSizes, TransformerSizes
from hub_fish_speech.model.codec.transformer import WindowTransformer
from hub_fish_speech.model.codec.vq import DacQuantizer

ENCODER_WINDOW = 512
"""Steps that the encoder's transformers see. It is fixed in the model's code; no configuration changes it."""

STEPS_AT_ONCE = 4
"""Recordings are filled up to a multiple of so many steps of the encoder, for all factors of the quantizer."""


class ResidualUnit(nn.Module):
    """Two convolutions, the first dilated, each after a snake, added to the input."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.block = Chain(
            Snake(channels),
            CausalConv(channels, channels, 7, dilation=dilation),
            Snake(channels),
            CausalConv(channels, channels, 1),
        )

    def forward(self, x: Tensor, state: State) -> Tensor:
        """(B, T, C) -> the same shape."""
        return self.block(x, state).add_(x)


class Stage(nn.Module):
    """One change of rate, with the residual units of its side."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.block = Chain(*layers)

    def forward(self, x: Tensor, state: State) -> Tensor:
        """(B, T, C) -> (B, T', C')."""
        return self.block(x, state)


def units(channels: int) -> list[ResidualUnit]:
    """The three residual units of a stage."""
    return [ResidualUnit(channels, dilation) for dilation in (1, 3, 9)]


class Encoder(nn.Module):
    """Samples (B, N, 1) -> latents (B, N / prod(encoder_rates), D)."""

    def __init__(self, sizes: DacSizes) -> None:
        super().__init__()
        width = sizes.encoder_dim
        layers: list[nn.Module] = [CausalConv(1, width, 7)]
        for rate, depth in zip(sizes.encoder_rates, sizes.encoder_transformer_layers, strict=False):
            narrow, width = width, 2 * width
            stage = [*units(narrow), Snake(narrow), CausalConv(narrow, width, 2 * rate, stride=rate)]
            layers.append(Stage(*stage, *([_transformer(sizes, width, depth)] if depth else [])))
        self.block = Chain(*layers, Snake(width), CausalConv(width, sizes.latent, 3))

    def forward(self, x: Tensor, state: State) -> Tensor:
        """Apply the network; shapes are those of the class."""
        return self.block(x, state)


class Decoder(nn.Module):
    """Latents (B, T, D) -> samples (B, T * prod(decoder_rates), 1) in -1..1."""

    def __init__(self, sizes: DacSizes) -> None:
        super().__init__()
        layers: list[nn.Module] = [CausalConv(sizes.latent, sizes.decoder_dim, 7)]
        width = sizes.decoder_dim
        for depth, rate in enumerate(sizes.decoder_rates):
            wide, width = width, sizes.decoder_dim // 2 ** (depth + 1)
            layers.append(Stage(Snake(wide), CausalTransposedConv(wide, width, 2 * rate, stride=rate), *units(width)))
        self.model = Chain(*layers, Snake(width), CausalConv(width, 1, 7))

    def forward(self, x: Tensor, state: State) -> Tensor:
        """Apply the network; shapes are those of the class."""
        return self.model(x, state).tanh_()


class Dac(nn.Module):
    """The whole codec: a `Network`."""

    def __init__(self, sizes: DacSizes) -> None:
        super().__init__()
        self.encoder = Encoder(sizes)
        self.quantizer = DacQuantizer(sizes.quantizer)
        self.decoder = Decoder(sizes)
        self.sample_rate, self.frame, self.hop = sizes.sample_rate, sizes.frame, sizes.hop
        self.steps = math.prod(sizes.quantizer.downsample_factor)
        self.shortest = 1

    @property
    def entries(self) -> tuple[int, ...]:
        """The number of ids of each row."""
        return self.quantizer.sizes

    def filled(self, samples: int) -> int:
        """Count all columns of a recording, also a last one within which the recording ends."""
        return -(-samples // (STEPS_AT_ONCE * self.hop))

    def encode(self, wave: Tensor, window: int) -> Tensor:
        """Samples (B, N) -> ids (B, C, T), `window` columns at a time."""
        state: State = {}
        pieces = self.filled_up(wave).split(window * self.steps * self.hop, dim=1)
        return torch.cat([self.quantizer.ids(self.before(piece, state)) for piece in pieces], dim=2)

    def filled_up(self, wave: Tensor) -> Tensor:
        """Samples (B, N) and the silence that the encoder needs after them: (B, N', 1)."""
        short = -wave.shape[1] % (STEPS_AT_ONCE * self.hop)
        return torch.nn.functional.pad(wave, (0, short)).unsqueeze(2)

    def before(self, samples: Tensor, state: State) -> Tensor:
        """Samples (B, N, 1), whole steps of the encoder -> the input of the codebooks, (B, T, D)."""
        return self.quantizer.before(self.encoder(samples, state), state)

    def dequantize(self, ids: Tensor, state: State) -> Tensor:
        """ids (B, C, T), within the codebooks -> latents (B, T * steps, D)."""
        return self.quantizer.upsample(self.quantizer.after(ids, state), state)

    def synthesise(self, latent: Tensor, state: State) -> Tensor:
        """Latents (B, T * steps, D) -> samples (B, T * frame)."""
        return self.decoder(latent, state).squeeze(2)


def _transformer(sizes: DacSizes, width: int, depth: int) -> WindowTransformer:
    general = sizes.transformer_general_config
    inner = TransformerSizes(
        n_layer=depth,
        n_head=width // 64,
        dim=width,
        intermediate_size=3 * width,
        head_dim=general.head_dim,
        rope_base=general.rope_base,
        norm_eps=general.norm_eps,
    )
    return WindowTransformer(inner, inputs=width, window=ENCODER_WINDOW)
