"""The settings' `device` and `dtype` -> the device and the type that a model computes with.

`auto` is the first GPU that CUDA has, else the CPU. It never chooses Apple's MPS, where no family has been measured;
`device` must name it. Half precision is for CUDA; the family chooses the type that `auto` means there.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from hub.contract.backend import ModelConfig
from hub.contract.errors import WorkerStartFailed

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Placement(NamedTuple):
    """A device with its number (`cuda:0`), and the type of the weights on it."""

    device: torch.device
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.device} in {str(self.dtype).removeprefix('torch.')}"


def find_placement(model: ModelConfig, *, half: torch.dtype = torch.bfloat16, half_on_cpu: bool = True) -> Placement:
    """The device and the type that the settings of `model` name.

    `half` is what `dtype = "auto"` means on CUDA; float16 takes the place of a bfloat16 that the card does not have.
    A family that cannot compute in half precision on a CPU says `half_on_cpu=False`. Raises WorkerStartFailed, naming
    the setting and its value: the operator must change it.
    """
    device = find_device(model.device, setting=f"models.{model.name}.device")
    return Placement(device, find_dtype(model, device, half=half, half_on_cpu=half_on_cpu))


def find_device(name: str, *, setting: str = "device") -> torch.device:
    """The device that a setting names, with its number. Raises WorkerStartFailed if it is not there."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind == "cpu" and not number:
        return torch.device("cpu")
    if kind == "mps" and not number:
        if not torch.backends.mps.is_available():
            raise WorkerStartFailed(f"{setting} is 'mps', and torch finds no such device here; set it to auto or cpu")
        return torch.device("mps")
    if kind != "cuda" or (number and not number.isdigit()):
        raise WorkerStartFailed(f"{setting} is {name[:40]!r}; set it to auto, cpu, cuda, cuda:N or mps")
    if not torch.cuda.is_available():
        raise WorkerStartFailed(f"{setting} is {name!r}, and torch finds no CUDA GPU here; set it to auto or cpu")
    if int(number or 0) >= torch.cuda.device_count():
        there = ", ".join(f"cuda:{one}" for one in range(torch.cuda.device_count()))
        raise WorkerStartFailed(f"{setting} is {name!r}, and the GPUs here are {there}; set it to one of them")
    return torch.device("cuda", int(number or 0))


def find_dtype(
    model: ModelConfig, device: torch.device, *, half: torch.dtype = torch.bfloat16, half_on_cpu: bool = True
) -> torch.dtype:
    """The type that `model.dtype` names on `device`; see `find_placement`. Raises WorkerStartFailed."""
    setting = f"models.{model.name}.dtype"
    if model.dtype == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.float16 if half == torch.bfloat16 and not _has_bfloat16(device) else half
    if model.dtype not in DTYPES:
        raise WorkerStartFailed(f"{setting} is {model.dtype[:40]!r}; set it to auto, {', '.join(DTYPES)}")
    dtype = DTYPES[model.dtype]
    if dtype != torch.float32 and device.type == "cpu" and not half_on_cpu:
        raise WorkerStartFailed(
            f"{setting} is {model.dtype!r}, and this backend computes in float32 on the CPU; set it to auto"
        )
    return dtype


def _has_bfloat16(device: torch.device) -> bool:
    """True from compute capability 8.0 on; older cards only emulate bfloat16, slowly."""
    return torch.cuda.get_device_capability(device) >= (8, 0)
