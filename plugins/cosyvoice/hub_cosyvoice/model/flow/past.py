"""The memory of a stream: frames that an estimator has already seen, so that no frame is computed twice.

With chunk-causal attention and causal convolutions a frame never depends on a later chunk. The keys, values and
convolution inputs of earlier chunks are therefore exactly those of the whole utterance and can be kept. The length of a
stream is not known in advance, so that `hub.nn.decode.KVCache`, which has one size, does not fit.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROOM = 128
"""Frames of spare capacity; the limit on the memory of a stream does not count them."""


class Past:
    """The memory of one Euler step of one stream. Layers ask in a fixed order, so a counter finds the entry of each."""

    def __init__(self) -> None:
        self.frames = 0
        self._edges: list[Tensor] = []
        self._keys: list[_Growing] = []
        self._edge = self._key = 0

    def rewind(self) -> None:
        """Begin a pass of the estimator."""
        self._edge = self._key = 0

    def with_left(self, x: Tensor, width: int) -> Tensor:
        """x (B, C, T) -> (B, C, width + T): the last `width` steps of the call before, zeros at first, then x."""
        if self._edge == len(self._edges):
            self._edges.append(x.new_zeros(x.shape[0], x.shape[1], width))
        joined = torch.cat([self._edges[self._edge], x], dim=2)
        self._edges[self._edge] = joined[:, :, -width:].clone()
        self._edge += 1
        return joined

    def with_earlier(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, H, T, D) of new frames -> those of all frames so far."""
        if self._key == len(self._keys):
            self._keys.append(_Growing())
        entry = self._keys[self._key]
        self._key += 1
        return entry.append(keys, values)


class _Growing:
    """Keys and values in one buffer, which grows in steps that leave `ROOM` frames free."""

    def __init__(self) -> None:
        self._buffer: Tensor | None = None  # (2, B, H, capacity, D)
        self._length = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        batch, heads, new, width = keys.shape
        end = self._length + new
        if self._buffer is None or self._buffer.shape[3] < end:
            grown = keys.new_empty(2, batch, heads, end + ROOM, width)
            if self._buffer is not None:
                grown[:, :, :, : self._length] = self._buffer[:, :, :, : self._length]
            self._buffer = grown
        self._buffer[0, :, :, self._length : end] = keys
        self._buffer[1, :, :, self._length : end] = values
        self._length = end
        return self._buffer[0, :, :, :end], self._buffer[1, :, :, :end]
