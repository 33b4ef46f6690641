"""The transformer block that both stacks of the language model are made of.

Llama's block: x += Attn(RMSNorm(x)); x += W2(silu(W1 h) * W3 h) with h = RMSNorm(x). Rotary positions are interleaved;
their table is rounded to bfloat16 for every type of model, and the rotation itself is computed in float32.
Shapes: T positions, D width, H query heads, G key/value heads, E the width of a head.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub.nn.attention import RMSNorm, attend, rotary_frequencies, rotary_table
from hub.nn.decode import KVCache
from hub.nn.layout import laid_out
from hub_fish_speech.config import StackConfig


class CacheView(NamedTuple):
    """The part of a cache that one step writes, and the part that it reads.

    It writes `positions` (T,), whose rotary angles are `rotations` (T, 1, E/2) complex, and reads the first `seen`
    positions. `mask` (T, seen) is True where those are filled; without it all are, and the T queries are their last.
    """

    positions: Tensor
    rotations: Tensor
    seen: int
    mask: Tensor | None = None


def make_cache(config: StackConfig, length: int, device: torch.device, dtype: torch.dtype) -> KVCache:
    """A cache of one stack, for one request."""
    return KVCache(
        layers=config.layers,
        groups=config.kv_heads,
        length=length,
        head_dim=config.head_dim,
        dtype=dtype,
        device=device,
    )


class Attention(nn.Module):
    """Grouped-query attention; `wqkv` gives H queries, G keys, G values."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self._heads, self._kv_heads = config.heads, config.kv_heads
        width = config.head_dim
        self.wqkv = nn.Linear(config.dim, (config.heads + 2 * config.kv_heads) * width, bias=config.qkv_bias)
        self.wo = nn.Linear(config.heads * width, config.dim, bias=config.o_bias)
        self.q_norm = RMSNorm(width, config.eps) if config.qk_norm else None
        self.k_norm = RMSNorm(width, config.eps) if config.qk_norm else None

    def prepare(self) -> None:
        """Lay out the loaded weights. Call it once."""
        self.wqkv.weight = nn.Parameter(laid_out(self.wqkv.weight), requires_grad=False)

    def forward(self, x: Tensor, view: CacheView, layer: int, cache: KVCache) -> Tensor:
        """x (T, D) -> (T, D); writes the keys and values of `layer`."""
        query, key, value = self._project(x, view.rotations)
        keys, values = cache.write_at(layer, view.positions, key, value, view.seen)
        attended = attend(query, keys, values, mask=view.mask, causal=view.mask is None)
        return self.wo(attended[0].transpose(0, 1).flatten(1))

    def _project(self, x: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x (T, D) -> queries (1, H, T, E), keys and values (1, G, T, E)."""
        heads = self.wqkv(x).unflatten(1, (self._heads + 2 * self._kv_heads, -1))  # (T, H + 2 G, E)
        rotating = heads[:, : self._heads + self._kv_heads]
        if self.q_norm is not None and self.k_norm is not None:
            query, key = rotating.split([self._heads, self._kv_heads], 1)
            rotating = torch.cat([self.q_norm(query), self.k_norm(key)], 1)
        rotated = rotate(rotating, rotations).transpose(0, 1)[None]  # (1, H + G, T, E)
        value = heads[:, self._heads + self._kv_heads :].transpose(0, 1)[None]
        return rotated[:, : self._heads], rotated[:, self._heads :], value


class FeedForward(nn.Module):
    """W2(silu(W1 x) * W3 x). `prepare` joins W1 and W3, which read the same x, into one product."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.w1: nn.Linear | None = nn.Linear(config.dim, config.ffn, bias=False)
        self.w3: nn.Linear | None = nn.Linear(config.dim, config.ffn, bias=False)
        self.w2 = nn.Linear(config.ffn, config.dim, bias=False)
        self.w13: nn.Parameter | None = None

    def prepare(self) -> None:
        """Join the loaded weights. Call it once."""
        assert self.w1 is not None
        assert self.w3 is not None
        self.w13 = nn.Parameter(laid_out(torch.cat([self.w1.weight, self.w3.weight])), requires_grad=False)
        self.w1 = self.w3 = None

    def forward(self, x: Tensor) -> Tensor:
        """(T, D) -> (T, D)."""
        assert self.w13 is not None, "prepare() was not called"
        gate, up = F.linear(x, self.w13).chunk(2, -1)
        return self.w2(F.silu(gate) * up)


class Block(nn.Module):
    """One layer."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.feed_forward = FeedForward(config)
        self.attention_norm = RMSNorm(config.dim, config.eps)
        self.ffn_norm = RMSNorm(config.dim, config.eps)

    def forward(self, x: Tensor, view: CacheView, layer: int, cache: KVCache) -> Tensor:
        """(T, D) -> (T, D)."""
        x = x + self.attention(self.attention_norm(x), view, layer, cache)
        return x + self.feed_forward(self.ffn_norm(x))


def run(layers: nn.ModuleList, x: Tensor, view: CacheView, cache: KVCache) -> Tensor:
    """x (T, D) through all `layers`."""
    for number, layer in enumerate(layers):
        x = layer(x, view, number, cache)
    return x


def rotation_table(config: StackConfig, positions: int) -> Tensor:
    """cos + i sin of every position and pair, rounded to bfloat16: (positions, 1, E/2) complex64."""
    table = rotary_table(positions, rotary_frequencies(config.head_dim, config.rope_base), rounded_to=torch.bfloat16)
    return torch.view_as_complex(table.contiguous())[:, None]


def rotate(x: Tensor, rotations: Tensor) -> Tensor:
    """Rotary positions as a product of complex numbers: x (T, heads, E), rotations (T, 1, E/2) -> as x."""
    # Not `rotate_interleaved` of hub.nn: its eight real operations take five times as long for a single column, and
    # round some numbers differently than one complex product.
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * rotations).flatten(-2).to(x.dtype)
