"""What makes tensors out of nothing, or out of the host's data.

torch's own factories ask the dispatcher for the CUDA kernel of `empty`, `arange` and the like; here is one for each, so
that they work in every thread. Some functions go around the dispatcher: `torch.tensor`, `torch.load`, pinned memory,
and safetensors; they are replaced while the pretend GPU is on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from hub.testing.pretend_gpu import copies, generators
from hub.testing.pretend_gpu.launching import launch

_DRAWING = ("rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial")
_DRAWING_METHODS = ("exponential_", "normal_", "uniform_", "random_", "bernoulli_", "cauchy_", "geometric_")
_PINNABLE = (
    "empty",
    "zeros",
    "ones",
    "full",
    "rand",
    "randn",
    "empty_like",
    "zeros_like",
    "ones_like",
    "empty_strided",
)


def kernels() -> torch.library.Library:
    """Register the factories for CUDA. They are gone when the library is destroyed."""
    made = torch.library.Library("aten", "IMPL", "CUDA")
    for func in _factories():
        made.impl(func.name(), _kernel(func))
    return made


@cache
def _factories() -> list[Any]:
    """The operations that take a device and no tensor."""
    return list(_found_factories())


def _found_factories() -> Iterator[Any]:
    for full_name in torch._C._dispatch_get_all_op_names():
        namespace, _, name = full_name.partition("::")
        name, _, overload = name.partition(".")
        if namespace != "aten" or name.startswith(("_", "sparse")) or name == "from_file":
            continue
        func = getattr(getattr(torch.ops.aten, name, None), overload or "default", None)
        if func is not None:
            kinds = {argument.name: str(argument.type) for argument in func._schema.arguments}
            if "device" in kinds and not any("Tensor" in kind for kind in kinds.values()):
                yield func


def _kernel(func: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("device", torch.device("cuda"))
        return launch(func, args, kwargs)

    return run


def replacements() -> Iterator[tuple[Any, str, Any]]:
    """(owner, name, replacement) of each function that goes around the dispatcher."""
    yield torch, "Generator", generators.DeviceGenerator
    for name in ("tensor", "as_tensor", "asarray"):
        yield torch, name, _moved(getattr(torch, name))
    yield torch, "load", _loaded(torch.load)
    for name in _PINNABLE:
        yield torch, name, _pinned(getattr(torch, name))
    for name in _DRAWING:
        original = getattr(torch, name) if name not in _PINNABLE else _pinned(getattr(torch, name))
        yield torch, name, _drawn(original)
    for name in _DRAWING_METHODS:
        yield Tensor, name, _drawn(getattr(Tensor, name))
    yield Tensor, "pin_memory", _pin_memory
    yield Tensor, "is_pinned", _is_pinned
    safetensors = sys.modules.get("safetensors")
    if safetensors is not None:
        original = safetensors.safe_open
        for module in list(sys.modules.values()):
            if getattr(module, "__dict__", {}).get("safe_open") is original:
                yield module, "safe_open", _opened(original)


def _is_cuda(device: Any) -> bool:
    return device is not None and not callable(device) and not isinstance(device, dict) and _type(device) == "cuda"


def _type(device: Any) -> str:
    return "cuda" if isinstance(device, int) else torch.device(device).type


def _moved(make: Callable[..., Any]) -> Callable[..., Any]:
    """`torch.tensor` and its kin: made on the CPU, and moved."""

    def made(data: Any, *args: Any, device: Any = None, **options: Any) -> Any:
        if isinstance(data, Tensor) and make.__name__ != "tensor":
            dtype = options.get("dtype") or (args[0] if args else None)
            return data.to(device=data.device if device is None else device, dtype=dtype or data.dtype)
        if not _is_cuda(device):
            return make(data, *args, device=device, **options)
        options.pop("pin_memory", None)
        return make(data, *args, **options).to(device)

    return made


def _loaded(load: Callable[..., Any]) -> Callable[..., Any]:
    def loaded(source: Any, map_location: Any = None, *args: Any, **options: Any) -> Any:
        if not _is_cuda(map_location):
            return load(source, map_location, *args, **options)
        found = load(source, "cpu", *args, **options)
        return tree_map(lambda one: one.to(map_location) if isinstance(one, Tensor) else one, found)

    return loaded


def _pinned(make: Callable[..., Any]) -> Callable[..., Any]:
    def made(*args: Any, pin_memory: bool = False, **options: Any) -> Any:
        found = make(*args, **options)
        return copies.pin(found) if pin_memory else found

    return made


def _drawn(draw: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the CPU that draws: its generator must be one of the CPU."""

    def drawn(*args: Any, generator: Any = None, **options: Any) -> Any:
        if generator is None:
            return draw(*args, **options)
        place = args[0].device if args and isinstance(args[0], Tensor) else torch.device(options.get("device") or "cpu")
        if place.type == "cpu":
            generators.check(generator, place, getattr(draw, "__name__", "a draw"))
        return draw(*args, generator=generator, **options)

    return drawn


def _pin_memory(self: Tensor, device: Any = None) -> Tensor:
    return self if copies.is_pinned(self) else copies.pin(self.clone())


def _is_pinned(self: Tensor, device: Any = None) -> bool:
    return copies.is_pinned(self)


def _opened(opener: Any) -> Any:
    """`safetensors.safe_open` for a pretend device: opened on the CPU, each tensor moved."""

    class Opened:
        def __init__(self, filename: Any, framework: str, device: Any = "cpu", **options: Any) -> None:
            self._device = device
            self._file = opener(filename, framework=framework, device="cpu" if _is_cuda(device) else device, **options)

        def __enter__(self) -> Any:
            self._file.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            self._file.__exit__(*error)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def get_tensor(self, name: str) -> Any:
            return self._moved(self._file.get_tensor(name))

        def get_tensors(self) -> Any:
            return {name: self._moved(found) for name, found in self._file.get_tensors().items()}

        def _moved(self, found: Tensor) -> Tensor:
            return found.to(self._device) if _is_cuda(self._device) else found

    return Opened
