"""Autoregressive decoding: a KV cache of the request's size, and a step that a GPU replays as one graph.

A cache is made for one request (or one batch) and holds as many positions as that request can reach, so it never grows
or moves while the request decodes, and its content ends with the request. Attention reads the filled prefix only.
On the CPU that is a slice of exactly the filled length. A CUDA graph has fixed shapes, so on a GPU the prefix is
rounded up to one of a few lengths (`prefix_length`), each with its own graph, and a mask hides the empty positions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hub.nn.graphs import Graph, capture


class KVCache:
    """Keys and values of all layers, `keys` and `values` (layers, B, G, length, D), zero at first.

    `write` raises ValueError beyond `length` positions.
    """

    def __init__(
        self,
        *,
        layers: int,
        groups: int,
        length: int,
        head_dim: int,
        batch: int = 1,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> None:
        shape = (layers, batch, groups, length, head_dim)
        self.keys = _zeros(shape, dtype, torch.device(device))
        self.values = _zeros(shape, dtype, torch.device(device))
        self.length = length
        self._layers = [(self.keys[layer], self.values[layer]) for layer in range(layers)]

    @torch.inference_mode()  # it may have been made inside of it, and then it can only be changed inside
    def clear(self) -> None:
        """Write zeros over all of it.

        A mask hides what is not filled, but not NaN: nothing times NaN is NaN. So a cache that is lent again begins
        with numbers.
        """
        self.keys.zero_()
        self.values.zero_()

    def write(self, layer: int, start: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, G, T, D) at positions start .. start + T - 1; return the filled prefix of both, for host loops.

        The results are views (B, G, start + T, D).
        """
        end = start + key.shape[2]
        if end > self.length:
            raise ValueError(f"{end} positions do not fit into a cache of {self.length}")
        keys, values = self._layers[layer]
        keys.narrow(2, start, end - start).copy_(key)
        values.narrow(2, start, end - start).copy_(value)
        return keys.narrow(2, 0, end), values.narrow(2, 0, end)

    def write_at(self, layer: int, positions: Tensor, key: Tensor, value: Tensor, prefix: int) -> tuple[Tensor, Tensor]:
        """Store (B, G, T, D) at `positions` (T,), a tensor on the device; return the first `prefix` positions of both.

        For graphs: no value is read back, and so nothing is checked. `positions` must be below `prefix`, and `prefix`
        at most `length`. Hide the empty positions below `prefix` with a mask (`prefix_mask`).
        """
        self.keys[layer].index_copy_(2, positions, key)
        self.values[layer].index_copy_(2, positions, value)
        return self.keys[layer, :, :, :prefix], self.values[layer, :, :, :prefix]


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros. On a CPU the system zeroes each page when it is first touched, so unused positions cost nothing.

    torch would write the zeros, which takes a third of a second for the positions that a long answer could reach.
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.zeros(math.prod(shape) * dtype.itemsize, np.uint8)).view(dtype).view(shape)


def prefix_length(filled: int, length: int, smallest: int = 128) -> int:
    """The least of smallest, 2 * smallest, 4 * smallest, ... and `length` that holds `filled` positions.

    Few lengths need few graphs. From `smallest` on, a step reads less than twice the filled part. Raises ValueError if
    `filled` is over `length`.
    """
    if filled > length:
        raise ValueError(f"{filled} positions do not fit into a cache of {length}")
    rounded = smallest
    while rounded < filled:
        rounded *= 2
    return min(rounded, length)


def prefix_lengths(length: int, smallest: int = 128) -> list[int]:
    """All that `prefix_length` gives for a cache of `length` positions, the largest first."""
    found, rounded = [length], smallest
    while rounded < length:
        found.insert(1, rounded)
        rounded *= 2
    return found


def prefix_mask(positions: Tensor, prefix: int) -> Tensor:
    """(T, prefix) bool: the query at position p sees the keys 0 .. p. Made on the device of `positions` (T,)."""
    return torch.arange(prefix, device=positions.device)[None] <= positions[:, None]


class Stepper:
    """A step function, replayed as a CUDA graph on a GPU and called as it is elsewhere.

    `step(key, *tensors)` returns a tensor or a tuple of tensors. It computes with its inputs and with tensors of its
    own (weights, and a cache that it writes in place at positions that the inputs give), and never reads a value back
    to the host. On a GPU it runs a few times before each capture with the same inputs, so running it twice must
    have the effect of running it once. Random numbers are inputs: draw them outside.

    `key` chooses among graphs (the prefix's length, the batch); shapes and types of the inputs must be the same for
    the same key, else a call raises ValueError. The next call overwrites the outputs: copy what must last. One Stepper
    serves one request or batch at a time, since its graphs hold one set of inputs; all its graphs share a pool.
    """

    def __init__(self, step: Callable[..., Any], device: str | torch.device) -> None:
        self._step = step
        self._device = torch.device(device)
        self._graphs: dict[Hashable, _Captured] = {}
        self._pool: Any = None

    @property
    def captured(self) -> int:
        """The number of graphs."""
        return len(self._graphs)

    def __call__(self, key: Hashable, *inputs: Tensor) -> Any:
        """Return the step's outputs for these inputs, which may be on the CPU: a graph copies them into its own."""
        if self._device.type != "cuda":
            return self._step(key, *inputs)
        return self._captured(key, inputs).replay(inputs)

    def prepare(self, key: Hashable, *inputs: Tensor) -> None:
        """Capture the graph of `key` for inputs like these, so that no request waits for it. Only a GPU has graphs.

        The step runs, and writes what it writes. Prepare the largest first: the others then fit into its memory.
        """
        if self._device.type == "cuda":
            self._captured(key, inputs)

    def _captured(self, key: Hashable, inputs: Sequence[Tensor]) -> _Captured:
        if key not in self._graphs:
            held = [value.to(self._device, copy=True) for value in inputs]
            graph = capture(lambda: self._step(key, *held), self._device, pool=self._pool)
            self._pool = graph.pool
            self._graphs[key] = _Captured(graph, held)
        return self._graphs[key]


class _Captured:
    """A captured step with the inputs that it reads."""

    def __init__(self, graph: Graph, inputs: list[Tensor]) -> None:
        self._graph = graph
        self._inputs = inputs

    def replay(self, inputs: Sequence[Tensor]) -> Any:
        """Copy the inputs in, run, and return the outputs. Raises ValueError if they do not match the captured ones."""
        if len(inputs) != len(self._inputs):
            raise ValueError(f"got {len(inputs)} inputs; the graph takes {len(self._inputs)}")
        for held, value in zip(self._inputs, inputs, strict=True):
            if value.shape != held.shape or value.dtype != held.dtype:
                raise ValueError(
                    f"got an input {tuple(value.shape)} {value.dtype}; the graph takes {tuple(held.shape)} {held.dtype}"
                )
            held.copy_(value, non_blocking=True)
        self._graph.replay()
        return self._graph.outputs
