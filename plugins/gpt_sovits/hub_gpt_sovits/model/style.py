"""The reference encoder: a spectrogram -> one vector that describes its sound."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub_gpt_sovits.model.relative import masked


class _Named(nn.Module):
    """A linear layer one level down, as the files name it."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class _Gated(nn.Module):
    """Residual convolution with a gate."""

    def __init__(self, channels: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.conv1 = nn.ModuleDict({"conv": nn.Conv1d(channels, 2 * channels, kernel, padding=kernel // 2)})

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(F.glu(self.conv1["conv"](x), 1))


class _SelfAttention(nn.Module):
    """Self-attention whose scores are scaled by the root of the full width; residual, no norm."""

    def __init__(self, channels: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.drop = nn.Dropout(dropout)
        self.w_qs = nn.Linear(channels, channels)
        self.w_ks = nn.Linear(channels, channels)
        self.w_vs = nn.Linear(channels, channels)
        self.fc = nn.Linear(channels, channels)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.w_qs, self.w_ks, self.w_vs)
        )
        out = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=self.drop.p if self.training else 0.0,
            scale=1 / math.sqrt(x.shape[-1]),
        )
        return self.drop(self.fc(out.transpose(1, 2).flatten(2))) + x


class StyleEncoder(nn.Module):
    """(B, bins, T) -> (B, out, 1). It takes the lowest `bins` of the spectrogram."""

    def __init__(self, bins: int, hidden: int, out: int, heads: int = 2, kernel: int = 5, dropout: float = 0.1) -> None:
        super().__init__()
        self.bins = bins
        drop = nn.Dropout(dropout)
        self.spectral = nn.Sequential(_Named(bins, hidden), nn.Mish(), drop, _Named(hidden, hidden), nn.Mish(), drop)
        self.temporal = nn.Sequential(_Gated(hidden, kernel, dropout), _Gated(hidden, kernel, dropout))
        self.slf_attn = _SelfAttention(hidden, heads, dropout)
        self.fc = _Named(hidden, out)

    def forward(self, spec: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` is (B, 1, T), 1 at valid positions; None: all are valid."""
        x = self.spectral(masked(spec[:, : self.bins], mask).transpose(1, 2))
        x = masked(self.temporal(x.transpose(1, 2)), mask).transpose(1, 2)
        x = self.fc(self.slf_attn(x, None if mask is None else mask.bool().unsqueeze(1)))
        if mask is None:
            return x.mean(1).unsqueeze(-1)
        weight = mask.transpose(1, 2)
        return (torch.where(weight.bool(), x, 0) / weight.sum(1, keepdim=True)).sum(1).unsqueeze(-1)
