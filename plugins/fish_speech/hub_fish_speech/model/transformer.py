"""The transformer block that both stacks are made of, with a key/value cache that belongs to the request.

Llama's block: x += Attn(RMSNorm(x)); x += W2(silu(W1 h) * W3 h) with h = RMSNorm(x). Rotary positions are interleaved,
their table is rounded to bfloat16 for every type of model, and the turn itself is computed in float32.
Shapes: T positions, D width, H query heads, G key/value heads, E the width of a head.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub.nn.attention import attend, rotary_frequencies, rotary_table
from hub.nn.layout import laid_out
from hub_fish_speech.config import StackConfig


class Cache(NamedTuple):
    """Keys and values of one stack: each (layers, G, positions, E)."""

    keys: Tensor
    values: Tensor

    @property
    def length(self) -> int:
        """Positions that it has room for."""
        return self.keys.shape[2]

    @classmethod
    def empty(cls, config: StackConfig, positions: int, device: torch.device, dtype: torch.dtype) -> Cache:
        """Room for `positions`, not filled: on the CPU, pages that are never written take no memory."""
        shape = (config.layers, config.kv_heads, positions, config.head_dim)
        return cls(torch.empty(shape, device=device, dtype=dtype), torch.empty(shape, device=device, dtype=dtype))


class Place(NamedTuple):
    """Where in the cache a step writes, and what it sees.

    `positions` (T,) are the rows it writes, `turns` (T, 1, E/2) complex their rotary angles; it sees the first `seen`
    rows. `mask` (T, seen) says which of them are filled; without it all are, and the T queries stand at their end.
    """

    positions: Tensor
    turns: Tensor
    seen: int
    mask: Tensor | None = None


class Norm(nn.Module):
    """RMSNorm: in float32, cast back, then times the weight."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        if x.dtype == torch.float32:
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        return F.rms_norm(x.float(), self.weight.shape, None, self.eps).to(x.dtype) * self.weight


class Attention(nn.Module):
    """Grouped-query attention; `wqkv` gives H queries, G keys, G values."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self._heads, self._kv_heads = config.heads, config.kv_heads
        width = config.head_dim
        self.wqkv = nn.Linear(config.dim, (config.heads + 2 * config.kv_heads) * width, bias=config.qkv_bias)
        self.wo = nn.Linear(config.heads * width, config.dim, bias=config.o_bias)
        self.q_norm = Norm(width, config.eps) if config.qk_norm else None
        self.k_norm = Norm(width, config.eps) if config.qk_norm else None

    def prepare(self) -> None:
        """Call once, after loading."""
        self.wqkv.weight = nn.Parameter(laid_out(self.wqkv.weight), requires_grad=False)

    def forward(self, x: Tensor, place: Place, keys: Tensor, values: Tensor) -> Tensor:
        """x (T, D) -> (T, D); writes its rows of `keys` and `values`, (G, positions, E)."""
        query, value = self._project(x, place, keys)
        values.index_copy_(1, place.positions, value)
        seen_keys, seen_values = keys[None, :, : place.seen], values[None, :, : place.seen]
        query = query.transpose(0, 1)[None]  # (1, H, T, E)
        attended = attend(query, seen_keys, seen_values, mask=place.mask, causal=place.mask is None)
        return self.wo(attended[0].transpose(0, 1).flatten(1))

    def _project(self, x: Tensor, place: Place, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Queries (T, H, E) and values (G, T, E) of x; its keys are written."""
        heads = self.wqkv(x).unflatten(1, (self._heads + 2 * self._kv_heads, -1))  # (T, H + 2 G, E)
        turning = heads[:, : self._heads + self._kv_heads]
        if self.q_norm is not None and self.k_norm is not None:
            query, key = turning.split([self._heads, self._kv_heads], 1)
            turning = torch.cat([self.q_norm(query), self.k_norm(key)], 1)
        turned = turn(turning, place.turns)
        keys.index_copy_(1, place.positions, turned[:, self._heads :].transpose(0, 1))
        return turned[:, : self._heads], heads[:, self._heads + self._kv_heads :].transpose(0, 1)


class FeedForward(nn.Module):
    """W2(silu(W1 x) * W3 x). `prepare` joins W1 and W3, which read the same x, into one product."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.w1: nn.Linear | None = nn.Linear(config.dim, config.ffn, bias=False)
        self.w3: nn.Linear | None = nn.Linear(config.dim, config.ffn, bias=False)
        self.w2 = nn.Linear(config.ffn, config.dim, bias=False)
        self.w13: nn.Parameter | None = None

    def prepare(self) -> None:
        """Call once, after loading."""
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
        self.attention_norm = Norm(config.dim, config.eps)
        self.ffn_norm = Norm(config.dim, config.eps)

    def forward(self, x: Tensor, place: Place, keys: Tensor, values: Tensor) -> Tensor:
        """(T, D) -> (T, D)."""
        x = x + self.attention(self.attention_norm(x), place, keys, values)
        return x + self.feed_forward(self.ffn_norm(x))


def run(layers: nn.ModuleList, x: Tensor, place: Place, cache: Cache) -> Tensor:
    """x (T, D) through all `layers`."""
    for layer, keys, values in zip(layers, cache.keys.unbind(), cache.values.unbind(), strict=True):
        x = layer(x, place, keys, values)
    return x


def turns_table(config: StackConfig, positions: int) -> Tensor:
    """cos + i sin of every position and pair, rounded to bfloat16: (positions, 1, E/2) complex64."""
    table = rotary_table(positions, rotary_frequencies(config.head_dim, config.rope_base), rounded_to=torch.bfloat16)
    return torch.view_as_complex(table.contiguous())[:, None]


def turn(x: Tensor, turns: Tensor) -> Tensor:
    """Rotary positions as a product of complex numbers: x (T, heads, E), turns (T, 1, E/2) -> as x."""
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * turns).flatten(-2).to(x.dtype)
