"""Generation 1: the rate of the tokens -> the rate of the mel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EDGE = 20
"""Tokens at each end of a long target whose length in frames is fixed: the overlap of two chunks of a stream."""


class LengthRegulator(nn.Module):
    """Stretches prompt and target separately, then smooths them together. Keys `model.N`."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for _ in range(layers):
            steps += [nn.Conv1d(channels, channels, 3, padding=1), nn.GroupNorm(1, channels), nn.Mish()]
        self.model = nn.Sequential(*steps, nn.Conv1d(channels, channels, 1))

    def forward(self, prompt: Tensor, target: Tensor, prompt_frames: int, frames: int, edge_frames: int) -> Tensor:
        """prompt (1, P, 80) and target (1, N, 80) -> (1, prompt_frames + frames, 80).

        `edge_frames` is the number of frames for the first and for the last 20 tokens of a target over 40 tokens.
        """
        if target.shape[1] > 2 * EDGE:
            parts = [
                _stretch(target[:, :EDGE], edge_frames),
                _stretch(target[:, EDGE:-EDGE], frames - 2 * edge_frames),
                _stretch(target[:, -EDGE:], edge_frames),
            ]
        else:
            parts = [_stretch(target, frames)]
        if prompt.shape[1]:
            parts.insert(0, _stretch(prompt, prompt_frames))
        return self.model(torch.cat(parts, dim=2)).transpose(1, 2)


def _stretch(x: Tensor, frames: int) -> Tensor:
    """(1, N, C) -> (1, C, frames), linear between the middles of steps."""
    return F.interpolate(x.transpose(1, 2), size=frames, mode="linear")
