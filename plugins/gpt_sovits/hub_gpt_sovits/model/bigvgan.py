"""BigVGAN v2, the vocoder of v3: log-mel -> 24 kHz, with anti-aliased periodic activations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub_gpt_sovits.model.blank import filled

TAPS = 12
"""Taps of the anti-alias filters; both resample by 2."""

TINY = 1e-9


class _Filter(nn.Module):
    """The low-pass filter, as the files hold it: a buffer (1, 1, taps)."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", torch.zeros(1, 1, TAPS))
        self.filter: Tensor


class SnakeBeta(nn.Module):
    """x + sin^2(alpha x) / beta, both by channel; `logscale`: the files hold their logarithms."""

    def __init__(self, channels: int, logscale: bool, with_beta: bool) -> None:
        super().__init__()
        self.logscale = logscale
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels)) if with_beta else None

    def forward(self, x: Tensor) -> Tensor:
        alpha = self.alpha[:, None]
        beta = alpha if self.beta is None else self.beta[:, None]
        if self.logscale:
            alpha, beta = alpha.exp(), beta.exp()
        return x + (x * alpha).sin().square() / (beta + TINY)


class Activation(nn.Module):
    """Doubles the rate, applies the activation, and halves the rate, each time with a low-pass filter."""

    def __init__(self, channels: int, logscale: bool, with_beta: bool) -> None:
        super().__init__()
        self.act = SnakeBeta(channels, logscale, with_beta)
        self.upsample = _Filter()
        self.downsample = nn.ModuleDict({"lowpass": _Filter()})

    def forward(self, x: Tensor) -> Tensor:
        channels, side = x.shape[1], TAPS // 2 - 1
        kernel = self.upsample.filter.expand(channels, -1, -1)
        x = F.pad(x, (side, side), mode="replicate")
        x = 2 * F.conv_transpose1d(x, kernel, stride=2, groups=channels)
        cut = side * 2 + (TAPS - 2) // 2
        x = self.act(x[..., cut : -(side * 2 + (TAPS - 1) // 2)])
        kernel = cast(_Filter, self.downsample["lowpass"]).filter.expand(channels, -1, -1)
        x = F.pad(x, (TAPS // 2 - 1, TAPS // 2), mode="replicate")
        return F.conv1d(x, kernel, stride=2, groups=channels)


class _Block(nn.Module):
    """Three pairs of convolutions with activations (AMP block 1)."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int], logscale: bool, with_beta: bool) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=one, padding=(kernel - 1) * one // 2) for one in dilations
        )
        self.convs2 = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations)
        self.activations = nn.ModuleList(Activation(channels, logscale, with_beta) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor) -> Tensor:
        pairs = zip(self.convs1, self.convs2, self.activations[::2], self.activations[1::2], strict=True)
        for dilated, plain, first, second in pairs:
            x = plain(second(dilated(first(x)))) + x
        return x


class _PlainBlock(nn.Module):
    """Convolutions with activations, one by one (AMP block 2)."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int], logscale: bool, with_beta: bool) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=one, padding=(kernel - 1) * one // 2) for one in dilations
        )
        self.activations = nn.ModuleList(Activation(channels, logscale, with_beta) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for convolution, activation in zip(self.convs, self.activations, strict=True):
            x = convolution(activation(x)) + x
        return x


class BigVgan(nn.Module):
    """Log-mel (B, mels, T) -> (B, 1, T * hop). `config` is the released `config.json`."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        logscale, with_beta = bool(config["snake_logscale"]), config["activation"] == "snakebeta"
        width = config["upsample_initial_channel"]
        block = _Block if str(config.get("resblock", "1")) == "1" else _PlainBlock
        self.tanh = bool(config.get("use_tanh_at_final", True))
        self.blocks_each = len(config["resblock_kernel_sizes"])
        self.conv_pre = nn.Conv1d(config["num_mels"], width, 7, padding=3)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(config["upsample_rates"], config["upsample_kernel_sizes"], strict=True):
            up = nn.ConvTranspose1d(width, width // 2, kernel, rate, padding=(kernel - rate) // 2)
            self.ups.append(nn.ModuleList([up]))
            width //= 2
            sizes = zip(config["resblock_kernel_sizes"], config["resblock_dilation_sizes"], strict=True)
            self.resblocks.extend(block(width, size, dilations, logscale, with_beta) for size, dilations in sizes)
        self.activation_post = Activation(width, logscale, with_beta)
        self.conv_post = nn.Conv1d(width, 1, 7, padding=3, bias=bool(config.get("use_bias_at_final", True)))

    def forward(self, mel: Tensor) -> Tensor:
        x = self.conv_pre(mel)
        for number, up in enumerate(self.ups):
            x = up[0](x)  # type: ignore[index]
            blocks = self.resblocks[number * self.blocks_each : (number + 1) * self.blocks_each]
            total = blocks[0](x)
            for block in blocks[1:]:
                total = total + block(x)
            x = total / self.blocks_each
        x = self.conv_post(self.activation_post(x))
        return x.tanh() if self.tanh else x.clamp(-1, 1)


def build_bigvgan(config: Mapping[str, Any], weights: Mapping[str, Tensor], file: str) -> BigVgan:
    """The vocoder from its config and its folded weights, in eval mode. Raises CheckpointError."""
    return filled(lambda: BigVgan(config), weights, file)
