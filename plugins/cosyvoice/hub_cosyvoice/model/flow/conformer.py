"""Conformer layers with relative positions, as the flow encoders of CosyVoice 1 and 2 use them.

The layer has neither convolution nor macaron half-step: LayerNorm, attention, LayerNorm, SiLU feed-forward. Relative
positions follow Transformer-XL (arXiv 1901.02860, section 3.3) with the table of ESPnet: distances T-1 down to -(T-1).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hub.nn.attention import attend


def position_table(length: int, width: int, like: Tensor) -> Tensor:
    """Sinusoids of the distances `length - 1` down to `-(length - 1)`: (2 * length - 1, width), in `like`'s dtype."""
    distance = torch.arange(length - 1, -length, -1, dtype=torch.float32, device=like.device)  # (2T-1,)
    rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32, device=like.device) * (-math.log(10000.0) / width))
    angle = distance[:, None] * rate  # (2T-1, width / 2)
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1).to(like.dtype)


def shift_to_keys(scores: Tensor) -> Tensor:
    """Scores by distance (B, H, T, 2T-1) -> scores by key (B, H, T, T): row i starts at distance i."""
    batch, heads, length, _ = scores.shape
    padded = F.pad(scores, (1, 0)).flatten(2)
    return padded[..., length:].view(batch, heads, length, 2 * length - 1)[..., :length]


def chunk_mask(length: int, chunk: int, device: torch.device, start: int = 0) -> Tensor:
    """Keys that each position from `start` on sees, its own chunk and all before: (length - start, length) bool."""
    position = torch.arange(length, device=device)
    horizon = (position[start:] // chunk + 1) * chunk
    return position[None, :] < horizon[:, None]


class RelativeAttention(nn.Module):
    """Self-attention whose scores are (q + u) k + shift((q + v) p), over sqrt(head width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.linear_out = nn.Linear(width, width)
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.zeros(heads, width // heads))
        self.pos_bias_v = nn.Parameter(torch.zeros(heads, width // heads))

    def forward(self, x: Tensor, table: Tensor, mask: Tensor | None) -> Tensor:
        """x (B, T, D), table (2T-1, D), mask (T, T) or None (everything is seen) -> (B, T, D)."""
        batch, length, width = x.shape
        head = width // self.heads
        q, k, v = (
            project(x).view(batch, length, self.heads, head)
            for project in (self.linear_q, self.linear_k, self.linear_v)
        )
        p = self.linear_pos(table).view(-1, self.heads, head).permute(1, 2, 0)  # (H, D/H, 2T-1)
        by_distance = torch.matmul((q + self.pos_bias_v).transpose(1, 2), p)  # (B, H, T, 2T-1)
        bias = shift_to_keys(by_distance) / math.sqrt(head)
        if mask is not None:
            bias = bias.masked_fill(~mask, -math.inf)
        query, key, value = (part.transpose(1, 2) for part in (q + self.pos_bias_u, k, v))
        attended = attend(query, key, value, mask=bias)
        return self.linear_out(attended.transpose(1, 2).reshape(batch, length, width))


class FeedForward(nn.Module):
    """Linear, SiLU, Linear."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.w_1 = nn.Linear(width, hidden)
        self.w_2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        return self.w_2(F.silu(self.w_1(x)))


class ConformerLayer(nn.Module):
    """One pre-norm layer; the norms have eps 1e-12."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = RelativeAttention(width, heads)
        self.feed_forward = FeedForward(width, hidden)
        self.norm_ff = nn.LayerNorm(width, eps=1e-12)
        self.norm_mha = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, table: Tensor, mask: Tensor | None) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = x + self.self_attn(self.norm_mha(x), table, mask)
        return x + self.feed_forward(self.norm_ff(x))


class Embed(nn.Module):
    """Linear and LayerNorm, times sqrt(width). Keys `out.0`, `out.1`."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.out = nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width))
        self.scale = math.sqrt(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, inputs) -> (B, T, width)."""
        return self.out(x) * self.scale
