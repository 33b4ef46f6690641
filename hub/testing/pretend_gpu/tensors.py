"""Tensors that say `cuda:N` and keep their values in a tensor of the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hub.testing.pretend_gpu.machine import active
from hub.testing.pretend_gpu.memory import Memory, memory_of

launch: list[Callable[[Any, Any, Any], Any]] = []
"""What runs an operation: put here by `launching`, which knows more than tensors do."""


class DeviceTensor(Tensor):
    """A tensor on a pretend device. `held` is the CPU tensor with its values."""

    held: Tensor
    memory: Memory

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor, device: torch.device) -> DeviceTensor:
        """Take over `held` as the values of a tensor on `device`, which has its number."""
        with torch.inference_mode(held.is_inference()):
            made = torch.Tensor._make_wrapper_subclass(
                cls,
                held.size(),
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                device=device,
                requires_grad=False,
            )
        made.held = held
        made.memory = memory_of(active(), held, device.index)
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        """Run an operation on the pretend device."""
        return launch[0](func, args, kwargs or {})

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        """The values, and the device."""
        return f"DeviceTensor({self.held!r}, device={str(self.device)!r})"

    def tolist(self) -> Any:
        """The values; the host waits."""
        return self.cpu().tolist()

    def numpy(self, **_: Any) -> Any:
        """Refused, as on a GPU."""
        raise TypeError(
            f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
            "memory first."
        )

    def __array__(self, *_: Any, **__: Any) -> Any:
        """Refused, as on a GPU."""
        return self.numpy()

    def data_ptr(self) -> int:
        """The address of the values."""
        return self.held.data_ptr()

    def new_tensor(self, data: Any, dtype: Any = None, device: Any = None, *_: Any, **__: Any) -> Tensor:
        """A tensor of `data` on this device."""
        return torch.tensor(data, dtype=dtype or self.dtype, device=device or self.device)

    def is_pinned(self, device: Any = None) -> bool:
        """False: only memory of the host is pinned."""
        return False

    def __deepcopy__(self, memo: Any) -> Tensor:
        """A copy on the same device."""
        made = self.detach().clone().requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            made = torch.nn.Parameter(made, requires_grad=self.requires_grad)
        memo[id(self)] = made
        return made
