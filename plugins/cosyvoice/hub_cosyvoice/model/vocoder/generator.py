"""HiFT: mel and source signal -> waveform, by transposed convolutions, Snake residual blocks and an inverse STFT.

The causal form of generation 3 looks to the right in its first convolution only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hub_cosyvoice.model.vocoder.source import PitchPredictor, Source

MOST_MAGNITUDE = 100.0


@dataclass(frozen=True)
class Sizes:
    """The yaml's numbers. `slope` is of the leaky ReLUs, `limit` of the samples."""

    bands: int
    width: int
    rates: Sequence[int]
    kernels: Sequence[int]
    n_fft: int
    hop: int
    block_kernels: Sequence[int]
    block_dilations: Sequence[Sequence[int]]
    source_kernels: Sequence[int]
    source_dilations: Sequence[Sequence[int]]
    slope: float
    limit: float
    look_right: int


class Conv(nn.Conv1d):
    """A convolution that keeps the length: zeros on both sides, or (causal) on the left."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int = 1, causal: bool = False) -> None:
        reach = dilation * (kernel - 1)
        super().__init__(inputs, outputs, kernel, dilation=dilation, padding=0 if causal else reach // 2)
        self.left = reach if causal else 0

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, D, T)."""
        return super().forward(F.pad(x, (self.left, 0)) if self.left else x)


class Snake(nn.Module):
    """x + sin(a x)^2 / a, one a for each channel. Key `alpha`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        alpha = self.alpha[:, None]
        return torch.addcmul(x, torch.sin(x * alpha).square(), 1.0 / (alpha + 1e-9))


class ResidualBlock(nn.Module):
    """Keys `convs1`, `convs2`, `activations1`, `activations2`."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int], causal: bool) -> None:
        super().__init__()
        self.convs1 = nn.ModuleList(Conv(channels, channels, kernel, d, causal) for d in dilations)
        self.convs2 = nn.ModuleList(Conv(channels, channels, kernel, 1, causal) for _ in dilations)
        self.activations1 = nn.ModuleList(Snake(channels) for _ in dilations)
        self.activations2 = nn.ModuleList(Snake(channels) for _ in dilations)
        self.reach = sum((kernel - 1) * d + kernel - 1 for d in dilations)
        """Steps to the left that a step depends on if causal, else half of them to either side."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, C, T)."""
        for conv1, conv2, first, second in zip(
            self.convs1, self.convs2, self.activations1, self.activations2, strict=True
        ):
            x = x + conv2(second(conv1(first(x))))
        return x


class Repeating(nn.Conv1d):
    """Causal upsampling: each step `rate` times, then a convolution to the left."""

    def __init__(self, inputs: int, outputs: int, kernel: int, rate: int) -> None:
        super().__init__(inputs, outputs, kernel)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, D, T * rate)."""
        return super().forward(F.pad(x.repeat_interleave(self.rate, dim=2), (self.kernel_size[0] - 1, 0)))


class Reducing(nn.Conv1d):
    """The source's spectrum at a stage's rate: kernel 2 * rate, one step every `rate`; 1x1 at the last stage."""

    def __init__(self, inputs: int, outputs: int, rate: int, causal: bool) -> None:
        if rate == 1:
            super().__init__(inputs, outputs, 1)
        else:
            super().__init__(inputs, outputs, 2 * rate, stride=rate, padding=0 if causal else rate // 2)
        self.left = rate - 1 if causal else 0

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, D, about T / rate)."""
        return super().forward(F.pad(x, (self.left, 0)) if self.left else x)


class Generator(nn.Module):
    """The vocoder. `hop` is the number of samples for each mel frame."""

    window: Tensor

    def __init__(self, sizes: Sizes, source: Source, pitch: PitchPredictor, causal: bool) -> None:
        super().__init__()
        self.sizes, self.causal = sizes, causal
        self.m_source, self.f0_predictor = source, pitch
        self.steps = int(torch.tensor(list(sizes.rates)).prod())
        """Spectrum steps for each mel frame."""
        self.hop = self.steps * sizes.hop
        widths = [sizes.width // 2**stage for stage in range(len(sizes.rates) + 1)]
        bins = sizes.n_fft + 2
        if causal:
            self.conv_pre: nn.Conv1d = nn.Conv1d(sizes.bands, widths[0], sizes.look_right + 1)
        else:
            self.conv_pre = Conv(sizes.bands, widths[0], 7)
        stages = list(zip(widths, widths[1:], sizes.kernels, sizes.rates, strict=False))
        self.ups: Any = nn.ModuleList(
            Repeating(a, b, kernel, rate)
            if causal
            else nn.ConvTranspose1d(a, b, kernel, rate, padding=(kernel - rate) // 2)
            for a, b, kernel, rate in stages
        )
        self.source_downs: Any = nn.ModuleList(
            Reducing(bins, width, rate, causal) for width, rate in zip(widths[1:], self._reductions(), strict=True)
        )
        self.source_resblocks: Any = nn.ModuleList(
            ResidualBlock(width, kernel, dilations, causal)
            for width, kernel, dilations in zip(widths[1:], sizes.source_kernels, sizes.source_dilations, strict=True)
        )
        self.resblocks: Any = nn.ModuleList(
            ResidualBlock(width, kernel, dilations, causal)
            for width in widths[1:]
            for kernel, dilations in zip(sizes.block_kernels, sizes.block_dilations, strict=True)
        )
        self.conv_post = Conv(widths[-1], bins, 7, causal=causal)
        self.register_buffer("window", torch.hann_window(sizes.n_fft), persistent=False)

    @property
    def device(self) -> torch.device:
        """The device of the weights; not always the flow's."""
        return self.window.device

    def _reductions(self) -> list[int]:
        """Spectrum steps for a step of each stage."""
        found = [1]
        for rate in list(self.sizes.rates)[:0:-1]:
            found.append(found[-1] * rate)
        return found[::-1]

    def forward(self, mel: Tensor, source: Tensor, final: bool = True) -> Tensor:
        """mel (1, 80, F) and source (1, 1, F * hop) -> samples (1, F * hop) in -limit..limit.

        Causal and not `final`: the last frames of both are look-ahead, and one more is cut off, as its inverse STFT is
        not complete: (1, (F - look_right - 1) * hop).
        """
        x, spectrum = self._first(mel, source, final)
        for stage, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, self.sizes.slope))
            if stage == len(self.ups) - 1:
                x = F.pad(x, (1, 0), mode="reflect")
            x = x + self.source_resblocks[stage](self.source_downs[stage](spectrum))
            count = len(self.sizes.block_kernels)
            blocks = self.resblocks[stage * count : (stage + 1) * count]
            total = blocks[0](x)
            for block in blocks[1:]:
                total = total + block(x)
            x = total / count
        x = self.conv_post(F.leaky_relu(x))
        bins = self.sizes.n_fft // 2 + 1
        magnitude = torch.exp(x[:, :bins]).clamp(max=MOST_MAGNITUDE)
        phase = torch.sin(x[:, bins:])
        wave = torch.istft(
            torch.polar(magnitude, phase), self.sizes.n_fft, self.sizes.hop, self.sizes.n_fft, window=self.window
        )
        if not final:
            wave = wave[:, : -self.hop]
        return wave.clamp(-self.sizes.limit, self.sizes.limit)

    def _first(self, mel: Tensor, source: Tensor, final: bool) -> tuple[Tensor, Tensor]:
        """The first convolution's output (1, W, F'), and the source's spectrum: real parts, then imaginary ones."""
        spectrum = torch.stft(
            source.squeeze(1), self.sizes.n_fft, self.sizes.hop, self.sizes.n_fft, self.window, return_complex=True
        )
        parts = torch.cat([spectrum.real, spectrum.imag], dim=1)
        if not self.causal:
            return self.conv_pre(mel), parts
        if final:
            return self.conv_pre(F.pad(mel, (0, self.sizes.look_right))), parts
        return self.conv_pre(mel), parts[:, :, : -self.steps * self.sizes.look_right]
