"""The encoder of VITS: self-attention with windowed relative positions, post-norm, convolutional feed-forward.

Layout of names: `attn_layers.N`, `norm_layers_1.N`, `ffn_layers.N`, `norm_layers_2.N`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MASKED = -1e4
"""Score of a masked position."""


class ChannelNorm(nn.Module):
    """Layer norm over the channels of (B, C, T)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.transpose(1, 2), self.gamma.shape, self.gamma, self.beta, 1e-5).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head attention over (B, C, T); with `window`, relative keys and values that all heads share.

    Query and key lengths may differ without a window.
    """

    def __init__(self, channels: int, heads: int, window: int | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads, self.window, self.size = heads, window, channels // heads
        self.conv_q = nn.Conv1d(channels, channels, 1)
        self.conv_k = nn.Conv1d(channels, channels, 1)
        self.conv_v = nn.Conv1d(channels, channels, 1)
        self.conv_o = nn.Conv1d(channels, channels, 1)
        self.drop = nn.Dropout(dropout)
        if window is not None:
            self.emb_rel_k = nn.Parameter(torch.zeros(1, 2 * window + 1, self.size))
            self.emb_rel_v = nn.Parameter(torch.zeros(1, 2 * window + 1, self.size))

    def forward(self, x: Tensor, context: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, C, T), (B, C, S), mask (B, 1, T, S) with 0 where nothing may be seen -> (B, C, T)."""
        query = self._split(self.conv_q(x)) / math.sqrt(self.size)  # (B, H, T, D)
        key, value = self._split(self.conv_k(context)), self._split(self.conv_v(context))
        scores = query @ key.transpose(-2, -1)  # (B, H, T, S)
        if self.window is not None:
            scores = self._add_relative_keys(scores, query)
        if mask is not None:
            scores = scores.masked_fill(mask == 0, MASKED)
        weights = self.drop(scores.softmax(-1))
        out = weights @ value  # (B, H, T, D)
        if self.window is not None:
            out = out + self._near(weights) @ self.emb_rel_v
        return self.conv_o(out.transpose(2, 3).flatten(1, 2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.heads, self.size)).transpose(2, 3)

    def _offsets(self, length: int) -> list[tuple[int, int, int]]:
        """For each relative position: its row in the tables, its diagonal, the first time step of that."""
        window = self.window or 0
        return [
            (row, offset, max(0, -offset))
            for row, offset in enumerate(range(-window, window + 1))
            if abs(offset) < length
        ]

    def _add_relative_keys(self, scores: Tensor, query: Tensor) -> Tensor:
        """Add query . emb_rel_k[j - i] on the diagonals within the window."""
        relative = query @ self.emb_rel_k.transpose(-2, -1)  # (B, H, T, 2W+1)
        scores = scores.clone() if scores.requires_grad else scores
        for row, offset, begin in self._offsets(scores.shape[-1]):
            diagonal = scores.diagonal(offset, -2, -1)
            diagonal += relative[..., begin : begin + diagonal.shape[-1], row]
        return scores

    def _near(self, weights: Tensor) -> Tensor:
        """The weights within the window, by relative position, (B, H, T, 2W+1)."""
        length = weights.shape[-1]
        near = weights.new_zeros(*weights.shape[:3], 2 * (self.window or 0) + 1)
        for row, offset, begin in self._offsets(length):
            diagonal = weights.diagonal(offset, -2, -1)
            near[..., begin : begin + diagonal.shape[-1], row] = diagonal
        return near


class FeedForward(nn.Module):
    """conv, ReLU, conv over (B, C, T), same length."""

    def __init__(self, channels: int, filters: int, kernel: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.pad = ((kernel - 1) // 2, kernel // 2)
        self.conv_1 = nn.Conv1d(channels, filters, kernel)
        self.conv_2 = nn.Conv1d(filters, channels, kernel)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.drop(self.conv_1(F.pad(masked(x, mask), self.pad)).relu())
        return masked(self.conv_2(F.pad(masked(x, mask), self.pad)), mask)


class Encoder(nn.Module):
    """A stack of attention and feed-forward layers over (B, C, T)."""

    def __init__(
        self, channels: int, filters: int, heads: int, layers: int, kernel: int, dropout: float = 0.0, window: int = 4
    ) -> None:
        super().__init__()
        each = range(layers)
        self.attn_layers = nn.ModuleList(Attention(channels, heads, window, dropout) for _ in each)
        self.norm_layers_1 = nn.ModuleList(ChannelNorm(channels) for _ in each)
        self.ffn_layers = nn.ModuleList(FeedForward(channels, filters, kernel, dropout) for _ in each)
        self.norm_layers_2 = nn.ModuleList(ChannelNorm(channels) for _ in each)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` is (B, 1, T), 1 at valid positions; None: all are valid."""
        both = None if mask is None else mask.unsqueeze(2) * mask.unsqueeze(-1)
        x = masked(x, mask)
        layers = zip(self.attn_layers, self.norm_layers_1, self.ffn_layers, self.norm_layers_2, strict=True)
        for attention, norm_1, feed_forward, norm_2 in layers:
            x = norm_1(x + self.drop(attention(x, x, both)))
            x = norm_2(x + self.drop(feed_forward(x, mask)))
        return masked(x, mask)


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """`x`, zero where `mask` is."""
    return x if mask is None else x * mask


def length_mask(lengths: Tensor, longest: int, dtype: torch.dtype) -> Tensor:
    """(B,) lengths -> (B, 1, longest), 1 within."""
    return (torch.arange(longest, device=lengths.device) < lengths[:, None]).to(dtype).unsqueeze(1)
