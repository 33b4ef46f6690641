"""Gated convolutions with a global condition, and the parts that VITS builds from them: flow, posterior, features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hub_gpt_sovits.model.relative import masked


class WaveNet(nn.Module):
    """Residual gated convolutions over (B, C, T); every layer adds a part of the condition (B, G, 1)."""

    def __init__(self, channels: int, kernel: int, layers: int, condition: int) -> None:
        super().__init__()
        self.channels = channels
        self.in_layers = nn.ModuleList(
            nn.Conv1d(channels, 2 * channels, kernel, padding=kernel // 2) for _ in range(layers)
        )
        self.res_skip_layers = nn.ModuleList(
            nn.Conv1d(channels, channels if number == layers - 1 else 2 * channels, 1) for number in range(layers)
        )
        self.cond_layer = nn.Conv1d(condition, 2 * channels * layers, 1)

    def forward(self, x: Tensor, mask: Tensor | None, condition: Tensor) -> Tensor:
        conditions = self.cond_layer(condition).chunk(len(self.in_layers), 1)
        total: Tensor | None = None
        for convolve, mix, own in zip(self.in_layers, self.res_skip_layers, conditions, strict=True):
            signal, gate = (convolve(x) + own).chunk(2, 1)
            mixed = mix(signal.tanh() * gate.sigmoid())
            if mixed.shape[1] > self.channels:
                residual, mixed = mixed.chunk(2, 1)
                x = masked(x + residual, mask)
            total = mixed if total is None else total + mixed
        assert total is not None
        return masked(total, mask)


class CouplingLayer(nn.Module):
    """Shift one half of the channels by the output of a WaveNet over the other."""

    def __init__(self, channels: int, hidden: int, kernel: int, layers: int, condition: int) -> None:
        super().__init__()
        self.pre = nn.Conv1d(channels // 2, hidden, 1)
        self.enc = WaveNet(hidden, kernel, layers, condition)
        self.post = nn.Conv1d(hidden, channels // 2, 1)

    def shift(self, kept: Tensor, mask: Tensor | None, condition: Tensor) -> Tensor:
        """(B, C/2, T) -> the shift of the other half, (B, C/2, T)."""
        return masked(self.post(self.enc(masked(self.pre(kept), mask), mask, condition)), mask)


class Flow(nn.Module):
    """Coupling layers with channel flips between them. The flips are members of `flows`, because files count them."""

    def __init__(self, channels: int, hidden: int, condition: int, kernel: int = 5, layers: int = 4) -> None:
        super().__init__()
        self.flows = nn.ModuleList()
        for _ in range(4):
            self.flows.append(CouplingLayer(channels, hidden, kernel, layers, condition))
            self.flows.append(nn.Identity())  # the flip

    @property
    def couplings(self) -> list[CouplingLayer]:
        """The members that are not flips."""
        return [layer for layer in self.flows if isinstance(layer, CouplingLayer)]

    def forward(self, x: Tensor, mask: Tensor | None, condition: Tensor) -> Tensor:
        """From the posterior's space to the prior's, (B, C, T)."""
        for layer in self.couplings:
            kept, moved = x.chunk(2, 1)
            x = torch.cat([kept, layer.shift(kept, mask, condition) + masked(moved, mask)], 1).flip(1)
        return x

    def reverse(self, x: Tensor, mask: Tensor | None, condition: Tensor) -> Tensor:
        """From the prior's space to the posterior's, (B, C, T)."""
        for layer in reversed(self.couplings):
            kept, moved = x.flip(1).chunk(2, 1)
            x = torch.cat([kept, masked(moved - layer.shift(kept, mask, condition), mask)], 1)
        return x


class FeatureEncoder(nn.Module):
    """1x1 convolution, WaveNet, 1x1 convolution. As a posterior encoder its output is twice as wide: mean, log std."""

    def __init__(self, channels: int, hidden: int, out: int, layers: int, condition: int, kernel: int = 5) -> None:
        super().__init__()
        self.pre = nn.Conv1d(channels, hidden, 1)
        self.enc = WaveNet(hidden, kernel, layers, condition)
        self.proj = nn.Conv1d(hidden, out, 1)

    def forward(self, x: Tensor, mask: Tensor | None, condition: Tensor) -> Tensor:
        return masked(self.proj(self.enc(masked(self.pre(x), mask), mask, condition)), mask)
