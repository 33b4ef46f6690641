"""Running one operation: the rules are checked, the CPU computes, the result goes to the device of the operands."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hub.testing.pretend_gpu import copies, generators, operations, tensors
from hub.testing.pretend_gpu.machine import PretendGpu, active
from hub.testing.pretend_gpu.memory import spoil, storage_key
from hub.testing.pretend_gpu.nested import tensors_in, with_tensors, with_tensors_by_name
from hub.testing.pretend_gpu.rules import (
    HostWaits,
    MixedDevices,
    NoKernel,
    NotPretended,
    ShapeFromData,
    UnsupportedType,
)
from hub.testing.pretend_gpu.streams import drain_current
from hub.testing.pretend_gpu.tensors import DeviceTensor

HALVES = (torch.float16, torch.bfloat16)


def launch(func: Any, args: Any, kwargs: Any) -> Any:
    """Run `func`, one operation of torch, some operand or the asked device of which is a pretend one."""
    if operations.is_composite(func):
        return func._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs)
    machine, name = active(), operations.name_of(func)
    operands = tensors_in((*args, *kwargs.values()))
    on_device = [one for one in operands if isinstance(one, DeviceTensor)]
    asked = kwargs.get("device")
    if name == "copy_" and len({one.device for one in args[:2]}) == 2:
        return copies.copy_into(machine, args[0], args[1], bool(kwargs.get("non_blocking", (*args, False)[2])))
    if asked is not None and torch.device(asked).type == "cuda":
        asked = machine.device(asked)
    if name == "_to_copy" and asked is not None and asked != on_device[0].device:
        return copies.converted(machine, on_device[0], torch.device(asked), dict(kwargs))
    if asked is not None and torch.device(asked).type != "cuda":
        return func(*with_tensors(_held, args), **with_tensors_by_name(_held, kwargs))  # `zeros_like` and its kin
    device = asked or _device_of(func, operands, on_device)
    _check(machine, func, name, args, kwargs, on_device, device)
    return _run(machine, func, args, kwargs, on_device, device)


def _run(
    machine: PretendGpu, func: Any, args: Any, kwargs: Any, on_device: Sequence[DeviceTensor], device: torch.device
) -> Any:
    capture = machine.inside()
    if capture is not None:
        capture.admit(func, device)
        capture.prepare(func, args, kwargs)
    if kwargs.get("device") is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    if kwargs.get("pin_memory"):
        kwargs = {**kwargs, "pin_memory": False}
    held = with_tensors(_held, args), with_tensors_by_name(_held, kwargs)
    found = compute(func, *held)
    if operations.allocates_only(func):
        spoil(found)
    if operations.turns(func):
        with torch._C._DisableTorchDispatch():
            func(*args, **kwargs)
        return args[0]
    sources = {id(one.held): one for one in on_device}
    result = with_tensors(lambda one: _wrapped(one, sources, device), found)
    if capture is not None:
        made = [one for one in tensors_in([result]) if isinstance(one, DeviceTensor)]
        capture.made += [(weakref.ref(one.memory), one.held) for one in made if one.memory.capture is capture]
        capture.record(func, args, kwargs, held, found)
    if _is_kernel(func, found, on_device):
        machine.count(kernels=1, launches=1) if capture is None else capture.count()
    return result


def compute(func: Any, args: Any, kwargs: Any) -> Any:
    """Run `func` on the CPU. Where the CPU has no kernel for half precision, in float32, and round."""
    try:
        return func(*args, **kwargs)
    except (RuntimeError, NotImplementedError) as error:
        if func._schema.is_mutable or "not implemented for" not in str(error):
            raise
    kind = next(one.dtype for one in tensors_in((*args, *kwargs.values())) if one.dtype in HALVES)
    found = func(*with_tensors(_widened, args), **with_tensors_by_name(_widened, kwargs))
    return with_tensors(lambda one: one.to(kind) if one.dtype == torch.float32 else one, found)


def _check(
    machine: PretendGpu,
    func: Any,
    name: str,
    args: Any,
    kwargs: Any,
    on_device: Sequence[DeviceTensor],
    device: torch.device,
) -> None:
    """Raise the error of the rule that this operation breaks; note that the host waits for it."""
    if name in operations.UNMODELLED:
        raise NotPretended(f"the pretend GPU does not model {func.name()}")
    if not operations.has_kernel(func):
        raise NoKernel(func.name())
    if (drawn := kwargs.get("generator")) is not None:
        generators.check(drawn, device, func.name())
    if name in operations.FFT and any(one.dtype == torch.bfloat16 or one.dtype == torch.float16 for one in on_device):
        raise UnsupportedType(func.name())
    if name in operations.INDEXING:
        _check_indices(machine, name, [*args[1], *args[2:3]])
    elif name in operations.WAITING:
        machine.host_waits(name, HostWaits)
        machine.count(to_host=1)
        drain_current(device)
    elif name in operations.DATA_SHAPED and not (name == "repeat_interleave" and kwargs.get("output_size") is not None):
        machine.host_waits(name, ShapeFromData)
        drain_current(device)


def _check_indices(machine: PretendGpu, name: str, indices: Any) -> None:
    for index in indices:
        if not isinstance(index, Tensor):
            continue
        if index.dtype in (torch.bool, torch.uint8):
            machine.host_waits(f"{name} with a mask", ShapeFromData)
        if not isinstance(index, DeviceTensor):
            copies.to_device(machine, f"{name} with indices on the CPU", non_blocking=False)


def _device_of(func: Any, operands: Sequence[Tensor], on_device: Sequence[DeviceTensor]) -> torch.device:
    """The one device of the operands. Raises MixedDevices."""
    device = on_device[0].device
    for one in operands:
        indexing = operations.name_of(func) in operations.INDEXING  # its indices may lie on the CPU
        if one.device != device and not (
            one.device.type == "cpu" and (indexing or (one.dim() == 0 and operations.takes_numbers(func)))
        ):
            raise MixedDevices(f"{func.name()} of tensors on {device} and {one.device}")
    return device


def _is_kernel(func: Any, found: Any, on_device: Sequence[DeviceTensor]) -> bool:
    """True if the operation computes: a view and an allocation do not."""
    if operations.allocates_only(func) or operations.name_of(func) == "_local_scalar_dense":
        return False
    if func._schema.is_mutable:
        return True
    known = {storage_key(one.held) for one in on_device}
    made = tensors_in([found])
    return not made or any(storage_key(one) not in known for one in made)


def _wrapped(one: Tensor, sources: dict[int, DeviceTensor], device: torch.device) -> DeviceTensor:
    known = sources.get(id(one))
    if known is not None:
        if known.shape != one.shape:
            raise NotPretended("the pretend GPU does not model an operation that changes its operand's shape")
        return known
    return DeviceTensor(one, device)


def _held(one: Tensor) -> Tensor:
    return one.held if isinstance(one, DeviceTensor) else one


def _widened(one: Tensor) -> Tensor:
    return one.float() if one.dtype in HALVES else one


tensors.launch[:] = [launch]
