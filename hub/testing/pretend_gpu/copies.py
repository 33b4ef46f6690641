"""Copies between host and device, and between devices."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor

from hub.testing.pretend_gpu.machine import PretendGpu
from hub.testing.pretend_gpu.memory import spoil
from hub.testing.pretend_gpu.rules import HostCopy, OutsideTheStream
from hub.testing.pretend_gpu.streams import current_stream, drain_current
from hub.testing.pretend_gpu.tensors import DeviceTensor


def copy_into(machine: PretendGpu, target: Tensor, source: Tensor, non_blocking: bool) -> Tensor:
    """`target.copy_(source)` where exactly one of them is on the host, or they are on two devices."""
    if isinstance(target, DeviceTensor) and isinstance(source, DeviceTensor):
        _forbid(machine, OutsideTheStream, f"a copy from {source.device} to {target.device}")
        drain_current(source.device)
        target.held.copy_(source.held)
    elif isinstance(target, DeviceTensor):
        to_device(machine, "copy_ from the CPU", non_blocking)
        target.held.copy_(source)
    else:
        assert isinstance(source, DeviceTensor)
        to_host(machine, source, target, non_blocking and is_pinned(target))
    return target


def to_device(machine: PretendGpu, what: str, non_blocking: bool) -> None:
    """Note a copy to the device. Raises HostCopy inside a capture."""
    _forbid(machine, HostCopy, what)
    machine.count(to_device=1)
    if not non_blocking:
        machine.host_waits(what)


def to_host(machine: PretendGpu, source: DeviceTensor, target: Tensor, later: bool) -> None:
    """Copy to the host: now, or `later`, when the host has waited for the stream. Raises HostCopy inside a capture."""
    _forbid(machine, HostCopy, f"a copy from {source.device} to the CPU")
    machine.count(to_host=1)
    if not later:
        machine.host_waits(f"a copy from {source.device} to the CPU")
        drain_current(source.device)
        target.copy_(source.held)
        return
    values = source.held.clone()
    spoil(target)

    def deliver() -> None:
        with torch.inference_mode():
            target.copy_(values)

    current_stream(source.device).defer(deliver, copied_by=threading.get_ident())


def converted(machine: PretendGpu, source: DeviceTensor, device: torch.device, options: dict[str, Any]) -> Tensor:
    """`source.to(device)`, where that is the CPU or another device."""
    non_blocking = bool(options.pop("non_blocking", False))
    options = {name: value for name, value in options.items() if name in ("dtype", "memory_format")}
    if device.type == "cpu":
        made = torch.empty_like(source.held, **options)
        if non_blocking:
            pin(made)  # torch makes such a result in pinned memory
        to_host(machine, source, made, non_blocking)
        return made
    _forbid(machine, OutsideTheStream, f"a copy from {source.device} to {device}")
    machine.count(kernels=1, launches=1)
    return DeviceTensor(source.held.clone().to(**options) if options else source.held.clone(), machine.device(device))


def pin(tensor: Tensor) -> Tensor:
    """Mark the host's memory of `tensor` as pinned."""
    tensor.untyped_storage().pretend_pinned = True  # type: ignore[attr-defined]
    return tensor


def is_pinned(tensor: Tensor) -> bool:
    """True for pinned memory of the host."""
    return getattr(tensor.untyped_storage(), "pretend_pinned", False)


def _forbid(machine: PretendGpu, error: Any, what: str) -> None:
    if machine.inside() is not None:
        raise error(what)
