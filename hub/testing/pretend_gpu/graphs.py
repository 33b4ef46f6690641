"""CUDA graphs: operations are recorded with the memory that they read and write, and replayed there."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

import torch

from hub.testing.pretend_gpu import streams
from hub.testing.pretend_gpu.captures import Capture
from hub.testing.pretend_gpu.launching import compute
from hub.testing.pretend_gpu.machine import active
from hub.testing.pretend_gpu.memory import spoil
from hub.testing.pretend_gpu.nested import tensors_in
from hub.testing.pretend_gpu.rules import CaptureMisused, FreedMemory, TwoCaptures

_pools = itertools.count(1)
_graphs_of: dict[Any, list[weakref.ref[CUDAGraph]]] = {}
"""The graphs of each pool, in the order of their captures."""


def graph_pool_handle() -> tuple[int, int]:
    """`torch.cuda.graph_pool_handle`."""
    return (0, next(_pools))


class CUDAGraph:
    """`torch.cuda.CUDAGraph`.

    After a replay the results of graphs that were captured later into the same pool hold garbage: their memory may be
    what this graph uses for what lies between its inputs and outputs.
    """

    def __init__(self, keep_graph: bool = False) -> None:
        self._generators: list[int] = []
        self._pool: Any = None
        self._capture: Capture | None = None
        self._done = False

    def register_generator_state(self, generator: Any) -> None:
        """Let `generator` draw inside the capture."""
        self._generators.append(generator._cdata)

    def capture_begin(self, pool: Any = None, capture_error_mode: str = "global") -> None:
        """Begin on this thread's current stream. Raises TwoCaptures, CaptureMisused."""
        machine = active()
        stream = streams.current_stream()
        if self._capture is not None:
            raise CaptureMisused("this graph has been captured")
        if stream == streams.default_stream(stream.device):
            raise CaptureMisused("the current stream is the default stream")
        with machine.lock:
            if machine.capture is not None:
                raise TwoCaptures("capture_begin() while another capture is under way")
            self._capture = machine.capture = Capture(machine, stream, capture_error_mode, self._generators)
        self._pool = pool or graph_pool_handle()
        machine.count(captures=1)

    def capture_end(self) -> None:
        """End the capture that this thread began."""
        machine = active()
        if self._capture is None or machine.inside() is not self._capture:
            raise CaptureMisused("capture_end() without capture_begin()")
        with machine.lock:
            machine.capture = None
        self._capture.end()
        self._done = True
        _graphs_of.setdefault(self._pool, []).append(weakref.ref(self))

    def replay(self) -> None:
        """Run what was recorded, in the memory where it was recorded. Raises FreedMemory, CaptureMisused."""
        machine = active()
        if machine.inside() is not None:
            raise CaptureMisused("a replay inside a capture")
        if self._capture is None or not self._done:
            raise CaptureMisused("a replay of a graph that was not captured")
        for memory, reader in self._capture.read.values():
            if memory() is None:
                raise FreedMemory(f"{reader} reads memory that was freed after the capture")
        with torch.inference_mode():
            for func, args, kwargs, results in self._capture.steps:
                found = compute(func, args, kwargs)
                if results:
                    for result, value in zip(results, tensors_in([found]), strict=True):
                        result.copy_(value)
        machine.count(replays=1, launches=1, kernels=self._capture.kernels)
        self._spoil_later_graphs()

    def _spoil_later_graphs(self) -> None:
        graphs = [one() for one in _graphs_of.get(self._pool, ())]
        for later in graphs[graphs.index(self) + 1 :]:
            if later is not None and later._capture is not None:
                for memory, held in later._capture.made:
                    if memory() is not None:
                        spoil(held)

    def pool(self) -> Any:
        """The handle of its memory pool."""
        return self._pool

    def reset(self) -> None:
        """Drop what was recorded."""
        self._capture, self._done = None, False


class graph:  # noqa: N801 -- torch's name
    """`torch.cuda.graph`. Without a stream it captures on one that is shared by all, and made on the first use."""

    default_capture_stream: streams.Stream | None = None

    def __init__(
        self, cuda_graph: CUDAGraph, pool: Any = None, stream: Any = None, capture_error_mode: str = "global", **_: Any
    ) -> None:
        if stream is None and graph.default_capture_stream is None:
            graph.default_capture_stream = streams.Stream()
        self._graph = cuda_graph
        self._pool = pool
        self._mode = capture_error_mode
        self._context = streams.stream(stream or graph.default_capture_stream)

    def __enter__(self) -> None:
        if active().capture is not None:
            raise TwoCaptures("torch.cuda.graph() while another capture is under way")
        streams.synchronize()
        empty_cache()
        self._context.__enter__()
        try:
            self._graph.capture_begin(self._pool, self._mode)
        except BaseException:
            self._context.__exit__(None, None, None)
            raise

    def __exit__(self, *error: Any) -> None:
        self._graph.capture_end()
        if error[0] is not None:
            self._graph.reset()
        self._context.__exit__(None, None, None)


def is_current_stream_capturing() -> bool:
    """`torch.cuda.is_current_stream_capturing`."""
    return active().inside() is not None


def empty_cache() -> None:
    """`torch.cuda.empty_cache`. Raises CaptureDisturbed."""
    active().undisturbed("torch.cuda.empty_cache()")
