"""Token embeddings -> the conditions of the flow: one encoder for each generation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hub_cosyvoice.model.flow.conformer import ConformerLayer, Embed, chunk_mask, position_table

UPSAMPLED_LAYERS = 4
"""Layers after the upsampling in generation 2; the yaml has no key for it."""


class Encoder(nn.Module):
    """Generation 1: conformer layers. (B, T, inputs) -> (B, T, D).

    With a `chunk` a token sees its own chunk and all before it; with 0, as in the releases, it sees everything.
    """

    def __init__(self, inputs: int, width: int, heads: int, hidden: int, layers: int, chunk: int = 0) -> None:
        super().__init__()
        self.chunk = chunk
        self.embed = Embed(inputs, width)
        self.encoders = nn.ModuleList(ConformerLayer(width, heads, hidden) for _ in range(layers))
        self.after_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, inputs) -> (B, T, D)."""
        return self.after_norm(_run(self.encoders, self.embed(x), self.chunk))


class Lookahead(nn.Module):
    """Each token sees `ahead` tokens to its right; two convolutions with a residual. Keys `conv1`, `conv2`."""

    def __init__(self, width: int, hidden: int, ahead: int) -> None:
        super().__init__()
        self.ahead = ahead
        self.conv1 = nn.Conv1d(width, hidden, ahead + 1)
        self.conv2 = nn.Conv1d(hidden, width, 3)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x (B, T, D), context (B, ahead, D): the tokens after x, or None at the end (zeros) -> (B, T, D)."""
        wide = F.pad(x, (0, 0, 0, self.ahead)) if context is None else torch.cat([x, context], dim=1)
        hidden = F.leaky_relu(self.conv1(wide.transpose(1, 2)))
        return self.conv2(F.pad(hidden, (2, 0))).transpose(1, 2) + x


class Upsample(nn.Module):
    """Repeat each step `stride` times, then a causal convolution of kernel 2 * stride + 1. Key `conv`."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv1d(width, width, 2 * stride + 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T * stride, D)."""
        repeated = x.transpose(1, 2).repeat_interleave(self.stride, dim=2)
        return self.conv(F.pad(repeated, (2 * self.stride, 0))).transpose(1, 2)


class UpsamplingEncoder(nn.Module):
    """Generation 2: look-ahead, conformer layers, twice the rate, four more layers."""

    def __init__(
        self, inputs: int, width: int, heads: int, hidden: int, layers: int, chunk: int, ahead: int, stride: int
    ) -> None:
        super().__init__()
        self.chunk, self.stride = chunk, stride
        self.embed = Embed(inputs, width)
        self.pre_lookahead_layer = Lookahead(width, width, ahead)
        self.encoders = nn.ModuleList(ConformerLayer(width, heads, hidden) for _ in range(layers))
        self.up_layer = Upsample(width, stride)
        self.up_embed = Embed(width, width)
        self.up_encoders = nn.ModuleList(ConformerLayer(width, heads, hidden) for _ in range(UPSAMPLED_LAYERS))
        self.after_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, context: Tensor | None, chunked: bool) -> Tensor:
        """x (B, T, inputs), context (B, ahead, inputs) or None at the end -> (B, T * stride, D).

        `chunked`: a token sees its own chunk and all before it; else it sees everything.
        """
        x = self.embed(x)
        x = self.pre_lookahead_layer(x, None if context is None else self.embed(context))
        x = _run(self.encoders, x, self.chunk if chunked else 0)
        x = self.up_embed(self.up_layer(x))
        return self.after_norm(_run(self.up_encoders, x, self.chunk * self.stride if chunked else 0))


def _run(layers: nn.ModuleList, x: Tensor, chunk: int) -> Tensor:
    """(B, T, D) through `layers`, with one position table and one mask for all; `chunk` 0 sees everything."""
    table = position_table(x.shape[1], x.shape[2], x)
    mask = chunk_mask(x.shape[1], chunk, x.device) if chunk else None
    for layer in layers:
        x = layer(x, table, mask)
    return x
