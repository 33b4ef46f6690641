"""A capture under way: what is recorded, and what is undone when it ends, since a capture computes nothing."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hub.testing.pretend_gpu.generators import device_of
from hub.testing.pretend_gpu.machine import PretendGpu
from hub.testing.pretend_gpu.memory import Memory, spoil, storage_key
from hub.testing.pretend_gpu.nested import tensors_in, with_tensors, with_tensors_by_name
from hub.testing.pretend_gpu.operations import written_arguments
from hub.testing.pretend_gpu.rules import OutsideTheStream, UnregisteredGenerator
from hub.testing.pretend_gpu.streams import Stream, current_stream
from hub.testing.pretend_gpu.tensors import DeviceTensor


class Step(NamedTuple):
    """One recorded operation, on the CPU tensors that stand for the device's. It writes `results`, or its arguments."""

    func: Any
    args: Any
    kwargs: Any
    results: list[Tensor]


class Capture:
    """What `torch.cuda.graph` records between its beginning and its end."""

    def __init__(self, machine: PretendGpu, stream: Stream, mode: str, generators: Sequence[Any]) -> None:
        self.machine = machine
        self.thread = threading.get_ident()
        self.device = stream.device
        self.streams = {stream}
        self.mode = mode
        self.steps: list[Step] = []
        self.kernels = 0
        self.read: dict[int, tuple[weakref.ref[Memory], str]] = {}
        """Memory from outside that the graph reads, and who read it first."""
        self.made: list[tuple[weakref.ref[Memory], Tensor]] = []
        """Memory of the graph's own, and the tensor that it was made for."""
        self._generators = generators
        self._before: dict[int, tuple[Tensor, Tensor]] = {}

    def admit(self, func: Any, device: torch.device) -> None:
        """Raise OutsideTheStream for work on another device or stream."""
        if device != self.device:
            raise OutsideTheStream(f"{func.name()} on {device}, where {self.device} is captured")
        if current_stream(device) not in self.streams:
            raise OutsideTheStream(f"{func.name()} on another stream of {device} than the one that is captured")

    def prepare(self, func: Any, args: Any, kwargs: Any) -> None:
        """Keep what the operation will overwrite outside of the graph's memory, and check its generator."""
        for number, name in written_arguments(func):
            target = args[number] if number < len(args) else kwargs.get(name)
            for tensor in target if isinstance(target, list | tuple) else [target]:
                if isinstance(tensor, DeviceTensor) and tensor.memory.capture is not self:
                    self._keep(tensor.held)
        drawn = kwargs.get("generator")
        if drawn is not None and device_of(drawn).type == "cuda" and drawn._cdata not in self._generators:
            raise UnregisteredGenerator(func.name())

    def record(self, func: Any, args: Any, kwargs: Any, held: tuple[Any, Any], found: Any) -> None:
        """Record an operation that ran: on `args` and `kwargs`, with `held` in their places, giving `found`."""
        tensors = [one for one in tensors_in((*args, *kwargs.values())) if isinstance(one, DeviceTensor)]
        for tensor in tensors:
            if tensor.memory.capture is not self:
                self.read.setdefault(id(tensor.memory), (weakref.ref(tensor.memory), func.name()))
        results = tensors_in([found])
        if not func._schema.is_mutable:
            known = {storage_key(tensor.held) for tensor in tensors}
            if results and all(storage_key(one) in known for one in results):
                return  # a view: replaying changes nothing
        mine = {id(tensor.held) for tensor in tensors}

        def kept(one: Tensor) -> Tensor:
            # a tensor of the host is a number here: the graph keeps its value, not the tensor
            return one if id(one) in mine else one.clone()

        of_args, of_kwargs = with_tensors(kept, held[0]), with_tensors_by_name(kept, held[1])
        self.steps.append(Step(func, of_args, of_kwargs, [] if func._schema.is_mutable else results))

    def count(self) -> None:
        """Note a kernel, which each replay runs."""
        self.kernels += 1

    def end(self) -> None:
        """Undo what the capture computed: the device has done nothing yet."""
        with torch.inference_mode():
            for kept, before in self._before.values():
                kept.copy_(before)
        for memory, held in self.made:
            if memory() is not None:
                spoil(held)

    def _keep(self, held: Tensor) -> None:
        key = storage_key(held)
        if key not in self._before:
            whole = torch.empty(0, dtype=torch.uint8).set_(held.untyped_storage())
            self._before[key] = (whole, whole.clone())
