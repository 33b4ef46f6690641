"""AP-BWE: speech at 24 kHz -> 48 kHz with a generated upper band, for v3 (`super_sampling`).

Amplitude and phase spectra are extended by two streams of ConvNeXt blocks that see each other (Lu et al. 2024).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub.nn.features import resample
from hub_gpt_sovits.model.blank import filled

TINY = 1e-4
"""Added to amplitudes before their logarithm."""


class Block(nn.Module):
    """ConvNeXt block over (B, C, T) with a learnt scale."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 3 * channels)
        self.pwconv2 = nn.Linear(3 * channels, channels)
        self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        made = self.norm(self.dwconv(x).transpose(1, 2))
        return x + (self.gamma * self.pwconv2(F.gelu(self.pwconv1(made)))).transpose(1, 2)


class Upsampler(nn.Module):
    """(N,) at any rate -> (M,) at `rate` Hz. `config` is the released `config.json`."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.rate, self.n_fft = int(config["hr_sampling_rate"]), int(config["n_fft"])
        self.hop, self.window = int(config["hop_size"]), int(config["win_size"])
        bins, channels, layers = self.n_fft // 2 + 1, config["ConvNeXt_channels"], config["ConvNeXt_layers"]
        self.conv_pre_mag, self.conv_pre_pha = (nn.Conv1d(bins, channels, 7, padding=3) for _ in range(2))
        self.norm_pre_mag, self.norm_pre_pha = (nn.LayerNorm(channels, eps=1e-6) for _ in range(2))
        self.convnext_mag, self.convnext_pha = (nn.ModuleList(Block(channels) for _ in range(layers)) for _ in range(2))
        self.norm_post_mag, self.norm_post_pha = (nn.LayerNorm(channels, eps=1e-6) for _ in range(2))
        self.linear_post_mag = nn.Linear(channels, bins)
        self.linear_post_pha_r, self.linear_post_pha_i = (nn.Linear(channels, bins) for _ in range(2))

    def forward(self, wave: Tensor, rate: int) -> Tensor:
        wave = resample(wave, rate, self.rate, kernel_dtype=torch.float32)
        window = torch.hann_window(self.window, device=wave.device)
        spectrum = torch.stft(wave[None], self.n_fft, self.hop, self.window, window, return_complex=True)
        amplitude, phase = self.extended((spectrum.abs() + TINY).log(), spectrum.angle())
        extended = torch.polar(amplitude.exp(), phase)
        return torch.istft(extended, self.n_fft, self.hop, self.window, window)[0]

    def extended(self, amplitude: Tensor, phase: Tensor) -> tuple[Tensor, Tensor]:
        """Log amplitude and phase, (1, bins, T) each, with an upper band."""
        mag = self.norm_pre_mag(self.conv_pre_mag(amplitude).transpose(1, 2)).transpose(1, 2)
        pha = self.norm_pre_pha(self.conv_pre_pha(phase).transpose(1, 2)).transpose(1, 2)
        for block_mag, block_pha in zip(self.convnext_mag, self.convnext_pha, strict=True):
            mag = mag + pha
            pha = pha + mag
            mag, pha = block_mag(mag), block_pha(pha)
        amplitude = amplitude + self.linear_post_mag(self.norm_post_mag(mag.transpose(1, 2))).transpose(1, 2)
        pha = self.norm_post_pha(pha.transpose(1, 2))
        return amplitude, torch.atan2(self.linear_post_pha_i(pha), self.linear_post_pha_r(pha)).transpose(1, 2)


def build_upsampler(config: Mapping[str, Any], weights: Mapping[str, Tensor], file: str) -> Upsampler:
    """The network from its config and weights, in eval mode. Raises CheckpointError."""
    return filled(lambda: Upsampler(config), weights, file)
