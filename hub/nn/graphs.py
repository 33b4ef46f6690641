"""CUDA graphs: a process captures one at a time, on one stream of each device.

CUDA forbids two captures at once, and during a capture it forbids freeing memory and synchronising a device. A worker's
requests run in threads, so a lock guards both.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

WARM_UP_RUNS = 2
"""Runs before a capture: in the first runs libraries choose their kernels and allocate their workspaces."""

CAPTURE_LOCK = threading.RLock()
"""Held while a graph is captured, and by everything that CUDA forbids during a capture anywhere in the process."""

_streams: dict[torch.device, Any] = {}
"""Device -> the stream that captures. One for all captures, because each further stream has workspaces of its own."""


class Graph(NamedTuple):
    """A captured function. `replay` writes `outputs` again; graphs of one `pool` share memory, and run in turn."""

    replay: Callable[[], None]
    outputs: Any
    pool: Any


def capture(run: Callable[[], Any], device: torch.device, *, pool: Any = None) -> Graph:
    """Capture `run`, which computes on `device` with tensors that live as long as the graph, and reads nothing back.

    `run` is called `WARM_UP_RUNS` times first, so calling it twice must have the effect of calling it once. `pool` is
    that of graphs which never run at the same time as this one, and whose outputs are not needed when it runs.
    """
    with CAPTURE_LOCK, torch.cuda.device(device):
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


def _capture_stream(device: torch.device) -> Any:
    if device not in _streams:
        _streams[device] = torch.cuda.Stream(device)
    return _streams[device]
