"""HiFi-GAN: from latents or mel frames to samples. The decoder of v1, v2 and v2Pro and the vocoder of v4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from hub.nn.layout import as_picture, as_signal, convolve

SLOPE = 0.1
"""Slope of the leaky ReLU before each convolution; the last one of the network has torch's default."""


class ResidualBlock(nn.Module):
    """Three pairs of convolutions, the first of each dilated."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=one, padding=(kernel - 1) * one // 2) for one in dilations
        )
        self.convs2 = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        pairs = zip(cast(Sequence[nn.Conv1d], self.convs1), cast(Sequence[nn.Conv1d], self.convs2), strict=True)
        for dilated, plain in pairs:
            inner = convolve(dilated, F.leaky_relu(x, SLOPE))
            x = convolve(plain, F.leaky_relu_(inner, SLOPE)).add_(x)
        return x


class PlainBlock(nn.Module):
    """Two dilated convolutions (the family's `resblock` "2")."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=one, padding=(kernel - 1) * one // 2)
            for one in dilations[:2]
        )

    def forward(self, x: Tensor) -> Tensor:
        for dilated in cast(Sequence[nn.Conv1d], self.convs):
            x = convolve(dilated, F.leaky_relu(x, SLOPE)) + x
        return x


class HifiGan(nn.Module):
    """(B, C, T) -> (B, 1, T * product of rates) in [-1, 1]; `condition` is the width of a global condition, 0: none."""

    def __init__(
        self,
        channels: int,
        *,
        width: int,
        rates: Sequence[int],
        kernels: Sequence[int],
        block_kernels: Sequence[int],
        block_dilations: Sequence[Sequence[int]],
        plain_blocks: bool = False,
        condition: int = 0,
        bias_at_end: bool = False,
    ) -> None:
        super().__init__()
        self.blocks_each = len(block_kernels)
        self.conv_pre = nn.Conv1d(channels, width, 7, padding=3)
        self.ups, self.resblocks = nn.ModuleList(), nn.ModuleList()
        for rate, kernel in zip(rates, kernels, strict=True):
            self.ups.append(nn.ConvTranspose1d(width, width // 2, kernel, rate, padding=(kernel - rate) // 2))
            width //= 2
            for size, dilations in zip(block_kernels, block_dilations, strict=True):
                self.resblocks.append((PlainBlock if plain_blocks else ResidualBlock)(width, size, dilations))
        self.conv_post = nn.Conv1d(width, 1, 7, padding=3, bias=bias_at_end)
        self.cond = nn.Conv1d(condition, self.conv_pre.out_channels, 1) if condition else None

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        x = self.conv_pre(x)
        if self.cond is not None and condition is not None:
            x = x + self.cond(condition)
        x = as_picture(x)
        for number, up in enumerate(cast(Sequence[nn.ConvTranspose1d], self.ups)):
            x = convolve(up, F.leaky_relu(x, SLOPE))
            blocks = self.resblocks[number * self.blocks_each : (number + 1) * self.blocks_each]
            total = blocks[0](x)
            for block in blocks[1:]:
                total.add_(block(x))
            x = total.div_(self.blocks_each)
        return as_signal(convolve(self.conv_post, F.leaky_relu(x))).tanh()
