"""Autoregressive decoding: a KV cache of the request's size, and a step that a GPU replays as one graph.

A cache is made for one request (or one batch) and holds as many positions as that request can reach, so nothing grows
while it decodes, nothing is copied, and nothing of a request outlives it. Attention looks at the filled prefix only.
On the CPU that is a slice of exactly the filled length. A CUDA graph has fixed shapes, so there the prefix is
rounded up to one of few lengths (`prefix_length`), each with its own graph, and a mask hides what is not filled.
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

    Raises ValueError when asked to hold more positions than it has.
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
        """Put (B, G, T, D) at positions start .. start + T - 1; the filled prefix (B, G, start + T, D) of both.

        For the host's own loop: `start` is a number. Views, nothing is copied.
        """
        end = start + key.shape[2]
        if end > self.length:
            raise ValueError(f"position {end} of a cache of {self.length}")
        keys, values = self._layers[layer]
        keys.narrow(2, start, end - start).copy_(key)
        values.narrow(2, start, end - start).copy_(value)
        return keys.narrow(2, 0, end), values.narrow(2, 0, end)

    def write_at(self, layer: int, positions: Tensor, key: Tensor, value: Tensor, prefix: int) -> tuple[Tensor, Tensor]:
        """Put (B, G, T, D) at `positions` (T,), a tensor on the device; the first `prefix` positions of both.

        For graphs: no value is read back. What lies between the filled part and `prefix` is for a mask to hide (see
        `prefix_mask`). The caller sees to it that `positions` are below `prefix` and that below `length`.
        """
        self.keys[layer].index_copy_(2, positions, key)
        self.values[layer].index_copy_(2, positions, value)
        return self.keys[layer, :, :, :prefix], self.values[layer, :, :, :prefix]


def _zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """On a CPU memory that the system zeroes page by page when it is first touched: what is never filled costs nothing.

    torch writes the zeros itself, which takes a third of a second for the positions that a long answer could reach.
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.zeros(math.prod(shape) * dtype.itemsize, np.uint8)).view(dtype).view(shape)


def prefix_length(filled: int, length: int, smallest: int = 128) -> int:
    """The least of smallest, 2 * smallest, 4 * smallest, ... and `length` that holds `filled` positions.

    Few lengths, so few graphs: the wasted reading is less than the filled part's own, and never beyond `length`.
    """
    if filled > length:
        raise ValueError(f"position {filled} of a cache of {length}")
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

    `step(key, *tensors)` returns a tensor or a tuple of tensors. It computes with the tensors given, with what it has
    itself (weights, a cache, both written in place at positions that the inputs name), and never reads a value back to
    the host. On a GPU it is run a few times before each capture with the same inputs, so running it twice must do the
    same as once. Random numbers are inputs: draw them outside.

    `key` chooses among graphs (the prefix's length, the batch); shapes and types of the inputs must be the same for
    the same key, a ValueError otherwise. The outputs are overwritten by the next call: copy what must last. One
    Stepper serves one request or batch at a time, since its graphs hold one set of inputs; all its graphs share a pool.
    """

    def __init__(self, step: Callable[..., Any], device: str | torch.device) -> None:
        self._step = step
        self._device = torch.device(device)
        self._graphs: dict[Hashable, _Captured] = {}
        self._pool: Any = None

    @property
    def captured(self) -> int:
        """How many graphs there are."""
        return len(self._graphs)

    def __call__(self, key: Hashable, *inputs: Tensor) -> Any:
        """The step's outputs for these inputs. Inputs may lie on the CPU: a graph copies them to its own."""
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
        """Copy the inputs in, run, and give the outputs."""
        if len(inputs) != len(self._inputs):
            raise ValueError(f"{len(inputs)} inputs for a graph of {len(self._inputs)}")
        for held, value in zip(self._inputs, inputs, strict=True):
            if value.shape != held.shape or value.dtype != held.dtype:
                raise ValueError(
                    f"input {tuple(value.shape)} {value.dtype} for a graph of {tuple(held.shape)} {held.dtype}"
                )
            held.copy_(value, non_blocking=True)
        self._graph.replay()
        return self._graph.outputs
