"""Memory of a device: who holds it, and how much is held."""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor

from hub.testing.pretend_gpu.machine import PretendGpu


class Memory:
    """One allocation. All tensors that share it hold this object, so it ends with the last of them.

    What is allocated inside a capture belongs to the graph's pool, and does not count as the process's.
    """

    def __init__(self, machine: PretendGpu, device: int, size: int, capture: Any = None) -> None:
        self._machine = machine
        self._device = device
        self._size = 0
        self.capture = capture
        if size and capture is None:
            take(machine, device, size)
            self._size = size

    def __del__(self) -> None:
        if getattr(self, "_size", 0):
            give(self._machine, self._device, self._size)


def take(machine: PretendGpu, device: int, size: int) -> None:
    """Allocate. Raises torch.OutOfMemoryError."""
    with machine.lock:
        free = machine.memory - machine.allocated[device]
        if size > free:
            raise torch.OutOfMemoryError(
                f"CUDA out of memory. Tried to allocate {size / 2**20:.2f} MiB. GPU {device} has a total capacity of "
                f"{machine.memory / 2**30:.2f} GiB of which {free / 2**20:.2f} MiB is free."
            )
        machine.allocated[device] += size
        machine.peaks[device] = max(machine.peaks[device], machine.allocated[device])


def give(machine: PretendGpu, device: int, size: int) -> None:
    """Free."""
    with machine.lock:
        machine.allocated[device] -= size


_known: weakref.WeakValueDictionary[int, Memory] = weakref.WeakValueDictionary()


def storage_key(held: Tensor) -> int:
    """A number that tensors on the same memory share, as long as one of them lives."""
    return int(held.untyped_storage()._cdata)


def memory_of(machine: PretendGpu, held: Tensor, device: int) -> Memory:
    """The memory of a CPU tensor that stands for one on `device`: a new one if its storage is new."""
    key = storage_key(held)
    with machine.lock:
        found = _known.get(key)
        if found is None:
            size = int(held.untyped_storage().nbytes())
            found = _known[key] = Memory(machine, device, size, machine.inside())
        return found


def spoil(held: Tensor) -> None:
    """Fill with what uninitialised memory may hold: NaN, or the least whole number."""
    with torch.inference_mode():
        if held.is_floating_point() or held.is_complex():
            held.fill_(float("nan"))
        elif held.dtype != torch.bool:
            held.fill_(torch.iinfo(held.dtype).min)
