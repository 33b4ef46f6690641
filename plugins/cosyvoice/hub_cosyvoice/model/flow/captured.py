"""An estimator on a GPU, captured in a CUDA graph for each length, so that a step costs one launch.

A frame of a causal estimator depends on frames to its right only through the attention mask. Passes are therefore
padded to the next length of a short list, the padding is masked out, and each of those lengths is captured once.

`hub.nn.decode.Stepper` keeps all graphs, which suits the few lengths of a cache. Here there are more lengths: the least
recently used graphs are dropped, and one pass runs at a time.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hub.nn.graphs import capture
from hub_cosyvoice.model.flow.past import Past

BUCKET = 64
"""Captured lengths are multiples of this, in frames."""

KEPT = 12
"""Graphs that are kept; the least recently used one is dropped first."""

LONGEST = 2048
"""The longest pass that is captured, in frames: in longer ones the launches cost nothing compared with the work."""


class Captured:
    """Calls an estimator through CUDA graphs. One pass runs at a time: all graphs share their memory."""

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator
        self._graphs: OrderedDict[int, _Graph] = OrderedDict()
        self._lock = threading.Lock()
        self._pool: Any = None

    def __call__(
        self, x: Tensor, conditions: Any, times: tuple[Tensor, ...], mask: Tensor | None, past: Past | None
    ) -> Tensor:
        """Call the estimator: x (B, 80, T) -> (B, 80, T)."""
        frames = x.shape[2]
        if past is not None or frames > LONGEST:
            return self._estimator(x, conditions, times, mask, past)
        length = -(-frames // BUCKET) * BUCKET
        with self._lock:
            graph = self._graphs.pop(length, None)
            if graph is None:
                graph = _Graph(self._estimator, x, conditions, times, length, self._pool)
                self._pool = graph.pool
            self._graphs[length] = graph
            while len(self._graphs) > KEPT:
                self._graphs.popitem(last=False)
            return graph(x, conditions, times, mask)


class _Graph:
    """One captured length: the input tensors, and the graph that reads them."""

    def __init__(
        self, estimator: Any, x: Tensor, conditions: Any, times: tuple[Tensor, ...], length: int, pool: Any
    ) -> None:
        self._length = length
        self._x = x.new_zeros(x.shape[0], x.shape[1], length)
        self._parts = {name: _longer(part, conditions.axis, length) for name, part in vars(conditions).items()}
        self._times = tuple(time.clone() for time in times)
        self._mask = torch.ones(length, length, dtype=torch.bool, device=x.device)
        held = type(conditions)(**self._parts)
        self._graph = capture(lambda: estimator(self._x, held, self._times, self._mask, None), x.device, pool=pool)
        self.pool = self._graph.pool

    def __call__(self, x: Tensor, conditions: Any, times: tuple[Tensor, ...], mask: Tensor | None) -> Tensor:
        frames = x.shape[2]
        self._x[:, :, :frames].copy_(x)
        for name, part in vars(conditions).items():
            self._parts[name].narrow(conditions.axis, 0, frames).copy_(part)
        for held, time in zip(self._times, times, strict=True):
            held.copy_(time)
        # Padding sees the first frame only, so that no row of the mask is empty; no frame sees padding.
        self._mask.zero_()
        self._mask[:, 0] = True
        if mask is None:
            self._mask[:frames, :frames] = True
        else:
            self._mask[:frames, :frames] = mask
        self._graph.replay()
        return torch.clone(self._graph.outputs[:, :, :frames])


def _longer(part: Tensor, axis: int, length: int) -> Tensor:
    """A copy of one condition whose axis of frames is padded to `length`."""
    padding = [0, 0] * (part.ndim - 1 - axis) + [0, length - part.shape[axis]]
    return F.pad(part, padding).clone()
