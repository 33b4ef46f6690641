"""CUDA graphs: a process captures one at a time, on one stream of each device.

CUDA allows neither two captures at once nor that anybody frees or synchronises a device's memory during one, and a
worker's requests run in threads. So whoever captures holds a lock, and whoever gives cached memory back asks for it.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

WARM_UP_RUNS = 2
"""Runs before a capture: libraries choose their kernels and make their workspaces in the first ones."""

_lock = threading.RLock()
_streams: dict[torch.device, Any] = {}
"""The stream that captures, by device: one for all, because each one more has workspaces of its own."""


class Graph(NamedTuple):
    """A captured function. `replay` writes `outputs` anew; graphs of one `pool` share memory, and run in turn."""

    replay: Callable[[], None]
    outputs: Any
    pool: Any


def capture(run: Callable[[], Any], device: torch.device, *, pool: Any = None) -> Graph:
    """Capture `run`, which computes on `device` with tensors that live as long as the graph, and reads nothing back.

    It is run `WARM_UP_RUNS` times first, so running it twice must do the same as once. `pool` is that of graphs which
    never run at the same time as this one, and whose outputs are not needed when it runs.
    """
    with _lock, torch.cuda.device(device):
        now, side = torch.cuda.current_stream(device), _capture_stream(device)
        side.wait_stream(now)
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_RUNS):
                run()
        now.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # thread_local: another request's thread may allocate while this one captures
        with torch.cuda.graph(graph, pool=pool, stream=side, capture_error_mode="thread_local"):
            outputs = run()
    return Graph(graph.replay, outputs, graph.pool())


def free_cached_memory() -> None:
    """Give the memory that torch keeps for later back to the devices. It waits for a capture to end."""
    gc.collect()
    if torch.cuda.is_available():
        with _lock:
            torch.cuda.empty_cache()


def _capture_stream(device: torch.device) -> Any:
    if device not in _streams:
        _streams[device] = torch.cuda.Stream(device)
    return _streams[device]
