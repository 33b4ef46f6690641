"""The windowed causal transformer of the modded DAC, with a cache of one window."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hub.nn.attention import RMSNorm, attend, causal_mask, rotary_frequencies, rotary_table, rotate_interleaved
from hub_fish_speech.model.codec.layers import State
from hub_fish_speech.model.codec.sizes import TransformerSizes


class WindowTransformer(nn.Module):
    """Llama-like blocks in which a step sees itself and the `window` - 1 steps before it (None: all of them).

    Projections in and out are there only where `inputs` differs from the transformer's own width. Positions count from
    the start of the signal and have no limit.
    """

    def __init__(self, sizes: TransformerSizes, *, inputs: int, window: int | None) -> None:
        super().__init__()
        self.sizes, self.window = sizes, window
        wide = inputs != sizes.dim
        self.input_proj = nn.Linear(inputs, sizes.dim) if wide else nn.Identity()
        self.output_proj = nn.Linear(sizes.dim, inputs) if wide else nn.Identity()
        self.layers = nn.ModuleList(Block(sizes, window) for _ in range(sizes.n_layer))
        self.norm = RMSNorm(sizes.dim, eps=sizes.norm_eps)

    def forward(self, x: Tensor, state: State) -> Tensor:
        """(B, T, inputs) -> the same shape."""
        start: int = state.get(self, 0)
        end = state[self] = start + x.shape[1]
        first = 0 if self.window is None else max(0, start - self.window + 1)  # the oldest step in the caches
        mask = causal_mask(end - start, end - first, window=self.window, device=x.device)
        # Rounded as in training; without it the codes of an encoder change.
        frequencies = rotary_frequencies(self.sizes.head_dim, self.sizes.rope_base, device=x.device)
        table = rotary_table(torch.arange(start, end, device=x.device), frequencies, rounded_to=torch.bfloat16)
        x = self.input_proj(x)
        for layer in self.layers:
            x = layer(x, table, mask, state)
        return self.output_proj(self.norm(x))


class Block(nn.Module):
    """Attention and a gated MLP, each normed before and scaled per channel after."""

    def __init__(self, sizes: TransformerSizes, window: int | None) -> None:
        super().__init__()
        self.attention = Attention(sizes, window)
        self.feed_forward = FeedForward(sizes)
        self.attention_norm = RMSNorm(sizes.dim, eps=sizes.norm_eps)
        self.ffn_norm = RMSNorm(sizes.dim, eps=sizes.norm_eps)
        self.attention_layer_scale = LayerScale(sizes.dim)
        self.ffn_layer_scale = LayerScale(sizes.dim)

    def forward(self, x: Tensor, table: Tensor, mask: Tensor, state: State) -> Tensor:
        """(B, T, D) -> the same shape."""
        x = x + self.attention_layer_scale(self.attention(self.attention_norm(x), table, mask, state))
        return x + self.ffn_layer_scale(self.feed_forward(self.ffn_norm(x)))


class Attention(nn.Module):
    """Multi-head attention over the window; its state is the keys and values of the window's past."""

    def __init__(self, sizes: TransformerSizes, window: int | None) -> None:
        super().__init__()
        self.heads, self.window = sizes.n_head, window
        width = sizes.n_head * sizes.head_dim
        self.wqkv = nn.Linear(sizes.dim, 3 * width, bias=False)
        self.wo = nn.Linear(width, sizes.dim, bias=False)

    def forward(self, x: Tensor, table: Tensor, mask: Tensor, state: State) -> Tensor:
        """x (B, T, D), table (T, K / 2, 2), mask (T, cached + T) -> (B, T, D)."""
        # (B, T, 3 * H * K) -> three of (B, H, T, K)
        query, key, value = self.wqkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key = rotate_interleaved(query, table), rotate_interleaved(key, table)
        if self in state:
            key, value = (torch.cat(pair, dim=2) for pair in zip(state[self], (key, value), strict=True))
        kept = key.shape[2] if self.window is None else min(key.shape[2], self.window - 1)
        state[self] = tuple(each[:, :, each.shape[2] - kept :].clone() for each in (key, value))
        seen = attend(query, key, value, mask=mask)
        return self.wo(seen.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """W2(silu(W1 x) * W3 x)."""

    def __init__(self, sizes: TransformerSizes) -> None:
        super().__init__()
        self.w1 = nn.Linear(sizes.dim, sizes.ffn, bias=False)
        self.w3 = nn.Linear(sizes.dim, sizes.ffn, bias=False)
        self.w2 = nn.Linear(sizes.ffn, sizes.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> the same shape."""
        return self.w2(F.silu(self.w1(x)).mul_(self.w3(x)))


class LayerScale(nn.Module):
    """A gain per channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(dim), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> the same shape."""
        return x * self.gamma
