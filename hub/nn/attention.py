"""Attention's parts: RMSNorm, rotary positions in both layouts, grouped-query attention.

Sources of the formulas: Zhang and Sennrich 2019 (RMSNorm), Su et al. 2021 (rotary positions), Ainslie et al. 2023
(grouped queries). B is the batch, H the query heads, G the key/value heads, T positions, D the width of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis.

    The quotient is computed in float32 and cast back before it is multiplied by the weight, as in Llama and Qwen.
    """

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), in x's type."""
        if x.dtype == self.weight.dtype == torch.float32:
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        return F.rms_norm(x.float(), self.weight.shape, None, self.eps).to(x.dtype) * self.weight


def rotary_frequencies(dim: int, base: float = 10000.0, *, device: str | torch.device | None = None) -> Tensor:
    """Angle per position of each pair: base^(-2i/dim), (dim/2,) float32."""
    return 1.0 / base ** (torch.arange(0, dim, 2, device=device).float() / dim)


def rotary_table(positions: Tensor | int, frequencies: Tensor, *, rounded_to: torch.dtype | None = None) -> Tensor:
    """(cos, sin) of every position and pair: (T, dim/2, 2) float32.

    `positions` is a count (0 .. T-1) or a tensor (T,). `rounded_to` rounds the table through another type, for
    families whose own code keeps it in bfloat16; the values are rounded like that for every type of x.
    """
    if isinstance(positions, int):
        positions = torch.arange(positions, device=frequencies.device)
    angles = torch.outer(positions.to(frequencies.dtype), frequencies)  # (T, dim/2)
    table = torch.stack((angles.cos(), angles.sin()), -1)
    return table if rounded_to is None else table.to(rounded_to).float()


def rotate_interleaved(x: Tensor, table: Tensor) -> Tensor:
    """Rotary positions on neighbours (2i, 2i+1). x (..., T, D), table (T, D/2, 2) or (B, 1, T, D/2, 2) -> as x.

    Computed in float32. Used by Llama's own checkpoints, Fish Speech, and DiT models after F5-TTS.
    """
    cos, sin = table[..., 0], table[..., 1]
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)  # (..., T, D/2) each
    turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), -1)
    return turned.flatten(-2).to(x.dtype)


def rotate_half_split(x: Tensor, table: Tensor) -> Tensor:
    """Rotary positions on halves (i, i + D/2). x (..., T, D), table (T, D/2, 2) or (B, 1, T, D/2, 2) -> as x.

    The table is cast to x's type first, as in transformers' models (Llama, Qwen2).
    """
    cos, sin = table[..., 0].to(x.dtype), table[..., 1].to(x.dtype)
    first, second = x.chunk(2, -1)  # (..., T, D/2) each
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """Scaled dot-product attention in which H/G query heads share a key/value head. -> (B, H, T, D).

    query (B, H, T, D); key and value (B, G, S, D), head h using h // (H/G); `mask` broadcasts to (B, H, T, S): True
    where a key is visible, or a number to add. `causal` lets query i of T see the keys up to S - T + i: the queries are
    the last positions of the keys, as in decoding with a cache. Keys and values are never copied for a single query.
    """
    heads, steps = query.shape[1], query.shape[2]
    groups = key.shape[1]
    if causal and steps > 1:
        if mask is not None:
            raise ValueError("give a mask or causal, not both")
        if steps == key.shape[2]:
            return F.scaled_dot_product_attention(
                query, key, value, is_causal=True, scale=scale, enable_gqa=groups != heads
            )
        mask = causal_mask(steps, key.shape[2], device=query.device)
    if steps == 1 and groups != heads and (mask is None or mask.dim() < 3 or mask.shape[-3] == 1):
        # The heads of a group become rows of queries: one product over the group's keys, none of them repeated.
        together = query.reshape(query.shape[0], groups, heads // groups, query.shape[3])
        attended = F.scaled_dot_product_attention(together, key, value, attn_mask=mask, scale=scale)
        return attended.reshape(*query.shape[:3], value.shape[-1])
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale, enable_gqa=groups != heads)


def causal_mask(
    queries: int, keys: int, *, window: int | None = None, device: str | torch.device | None = None
) -> Tensor:
    """(queries, keys) bool: query i sees the keys up to keys - queries + i, or only the last `window` of those."""
    position = torch.arange(keys - queries, keys, device=device)[:, None]
    key = torch.arange(keys, device=device)[None]
    seen = key <= position
    return seen if window is None else seen & (key > position - window)
