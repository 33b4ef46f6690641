"""Firefly-GAN, the codec of 1.4 and 1.5: mel, a ConvNeXt encoder, FSQ, and a HiFi-GAN decoder, all causal.

Names and nesting of the modules are those of the weights.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hub.nn import features
from hub_fish_speech.model.codec.fsq import FireflyQuantizer
from hub_fish_speech.model.codec.layers import CausalConv, CausalTransposedConv, Chain, ConvNeXt, Pointwise, State
from hub_fish_speech.model.codec.sizes import BackboneSizes, FireflySizes, HeadSizes, MelSizes

PAIRS = 3
"""Pairs of convolutions in a residual block; further dilations in the configuration are not used."""


class Norm(nn.LayerNorm):
    """LayerNorm over the channels, as a layer of a chain."""

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """(B, T, C) -> the same shape."""
        return super().forward(x)


class Backbone(nn.Module):
    """Log-mel (B, M, mels) -> features (B, M, D)."""

    def __init__(self, sizes: BackboneSizes) -> None:
        super().__init__()
        dims = sizes.dims
        into = [Chain(CausalConv(sizes.input_channels, dims[0], 7), Norm(dims[0], eps=1e-6))]
        for narrow, wide in pairwise(dims):
            into.append(Chain(Norm(narrow, eps=1e-6), Pointwise(narrow, wide)))
        self.downsample_layers = nn.ModuleList(into)
        self.stages = nn.ModuleList(
            Chain(*(ConvNeXt(dim, sizes.kernel_size) for _ in range(depth)))
            for dim, depth in zip(dims, sizes.depths, strict=True)
        )
        self.norm = Norm(dims[-1], eps=1e-6)

    def forward(self, x: Tensor, state: State) -> Tensor:
        """Apply the network; shapes are those of the class."""
        for into, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(into(x, state), state)
        return self.norm(x, state)


class ResBlock(nn.Module):
    """Pairs of convolutions, each pair with its own dilation in both, added to its input."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(CausalConv(channels, channels, kernel, dilation=each) for each in dilations)
        self.convs2 = nn.ModuleList(CausalConv(channels, channels, kernel, dilation=each) for each in dilations)

    def forward(self, x: Tensor, state: State) -> Tensor:
        """(B, T, C) -> the same shape."""
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = second(F.silu(first(F.silu(x), state), inplace=True), state).add_(x)
        return x


class ParallelBlocks(nn.Module):
    """The mean of residual blocks with different kernels."""

    def __init__(self, channels: int, sizes: HeadSizes) -> None:
        super().__init__()
        shapes = zip(sizes.resblock_kernel_sizes, sizes.resblock_dilation_sizes, strict=True)
        self.blocks = nn.ModuleList(ResBlock(channels, kernel, dilations[:PAIRS]) for kernel, dilations in shapes)

    def forward(self, x: Tensor, state: State) -> Tensor:
        """(B, T, C) -> the same shape."""
        return sum(block(x, state) for block in self.blocks).div_(len(self.blocks))


class Head(nn.Module):
    """Latents (B, M, D) -> samples (B, M * prod(upsample_rates), 1) in -1..1."""

    def __init__(self, sizes: HeadSizes) -> None:
        super().__init__()
        widths = [sizes.upsample_initial_channel // 2**depth for depth in range(len(sizes.upsample_rates) + 1)]
        self.conv_pre = CausalConv(sizes.num_mels, widths[0], sizes.pre_conv_kernel_size)
        self.ups = nn.ModuleList(
            CausalTransposedConv(wide, narrow, kernel, stride=rate)
            for wide, narrow, kernel, rate in zip(
                widths, widths[1:], sizes.upsample_kernel_sizes, sizes.upsample_rates, strict=False
            )
        )
        self.resblocks = nn.ModuleList(ParallelBlocks(width, sizes) for width in widths[1:])
        self.conv_post = CausalConv(widths[-1], 1, sizes.post_conv_kernel_size)

    def forward(self, x: Tensor, state: State) -> Tensor:
        """Apply the network; shapes are those of the class."""
        x = self.conv_pre(x, state)
        for up, blocks in zip(self.ups, self.resblocks, strict=True):
            x = blocks(up(F.silu(x), state), state)
        return self.conv_post(F.silu(x), state).tanh_()


class Firefly(nn.Module):
    """The whole codec: a `Network`."""

    def __init__(self, sizes: FireflySizes) -> None:
        super().__init__()
        self.backbone = Backbone(sizes.backbone)
        self.quantizer = FireflyQuantizer(sizes.quantizer)
        self.head = Head(sizes.head)
        self.mel_sizes = sizes.spec_transform
        self.sample_rate, self.frame = sizes.spec_transform.sample_rate, sizes.frame
        self.steps = math.prod(sizes.quantizer.downsample_factor)
        mel = sizes.spec_transform
        spare = mel.win_length - mel.hop_length
        self.shortest = max(mel.n_fft - spare, (spare + 1) // 2 + 1)  # one frame, and enough to reflect its ends

    @property
    def entries(self) -> tuple[int, ...]:
        """The number of ids of each row."""
        fsq = self.quantizer.residual_fsq
        return (fsq.size,) * (fsq.groups * fsq.codebooks)

    def filled(self, samples: int) -> int:
        """Count the columns whose mel frames are all there."""
        return samples // self.mel_sizes.hop_length // self.steps

    def encode(self, wave: Tensor, window: int) -> Tensor:
        """Samples (B, N) -> ids (B, C, ceil(N // hop / steps)), `window` frames at a time."""
        state: State = {}
        pieces = log_mel(wave, self.mel_sizes).split(window * self.steps, dim=1)
        read = [self.quantizer.before(self.backbone(piece, state), state) for piece in pieces]
        return self.quantizer.residual_fsq.quantize(torch.cat(read, dim=1))

    def dequantize(self, ids: Tensor, state: State) -> Tensor:
        """ids (B, C, T), within the levels -> latents (B, T * steps, D)."""
        return self.quantizer.dequantize(ids, state)

    def synthesise(self, latent: Tensor, state: State) -> Tensor:
        """Latents (B, T * steps, D) -> samples (B, T * frame)."""
        return self.head(latent, state).squeeze(2)


def log_mel(wave: Tensor, sizes: MelSizes) -> Tensor:
    """Samples (B, N) -> log-mel (B, N // hop, mels)."""
    spare = sizes.win_length - sizes.hop_length
    return features.log_mel(
        wave,
        sample_rate=sizes.sample_rate,
        n_fft=sizes.n_fft,
        hop=sizes.hop_length,
        bands=sizes.n_mels,
        window=sizes.win_length,
        low=sizes.f_min,
        high=sizes.f_max or float(sizes.sample_rate // 2),
        pad=(spare // 2, (spare + 1) // 2),
        floor=1e-6,
    ).mT
