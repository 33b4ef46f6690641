"""The settings' `device` and `dtype` -> the device and the type that a model computes with.

`auto` is the first GPU that CUDA has and torch is built for, else the CPU. It never chooses Apple's MPS, where no
family has been measured; `device` must name it. Half precision is for CUDA; the family chooses the type that `auto`
means there, within what the card can do (`hub.nn.cards`).
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import torch

from hub.contract.backend import ModelConfig
from hub.contract.errors import WorkerStartFailed
from hub.nn.cards import best_half, computes_in, is_supported, shown, why_unsupported

log = logging.getLogger("hub.nn")

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class Placement(NamedTuple):
    """A device with its number (`cuda:0`), and the type of the weights on it."""

    device: torch.device
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.device} in {str(self.dtype).removeprefix('torch.')}"


def find_placement(model: ModelConfig, *, half: torch.dtype = torch.bfloat16, half_on_cpu: bool = True) -> Placement:
    """The device and the type that the settings of `model` name.

    `half` is what `dtype = "auto"` means on CUDA; a card that has no bfloat16 gets float16, and one whose float16 is of
    no use float32. A family that cannot compute in half precision on a CPU says `half_on_cpu=False`. Raises
    WorkerStartFailed, naming the setting and its value: the operator must change it.
    """
    device = find_device(model.device, setting=f"models.{model.name}.device")
    return Placement(device, find_dtype(model, device, half=half, half_on_cpu=half_on_cpu))


def find_device(name: str, *, setting: str = "device") -> torch.device:
    """The device that a setting names, with its number. Raises WorkerStartFailed if it is not there or of no use."""
    if name == "auto":
        return _automatic()
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
        raise WorkerStartFailed(
            f"{setting} is {name!r}, and torch finds no CUDA GPU here ({why_no_gpu()}); set it to auto or cpu"
        )
    if int(number or 0) >= torch.cuda.device_count():
        there = ", ".join(f"cuda:{one}" for one in range(torch.cuda.device_count()))
        raise WorkerStartFailed(f"{setting} is {name!r}, and the GPUs here are {there}; set it to one of them")
    device = torch.device("cuda", int(number or 0))
    if not is_supported(device):
        raise WorkerStartFailed(
            f"{setting} is {name!r}, and {why_unsupported(device)}; set it to cpu, or install a torch that has"
        )
    return device


def find_dtype(
    model: ModelConfig, device: torch.device, *, half: torch.dtype = torch.bfloat16, half_on_cpu: bool = True
) -> torch.dtype:
    """The type that `model.dtype` names on `device`; see `find_placement`. Raises WorkerStartFailed."""
    setting = f"models.{model.name}.dtype"
    if model.dtype == "auto":
        return best_half(device, half) if device.type == "cuda" else torch.float32
    if model.dtype not in DTYPES:
        raise WorkerStartFailed(f"{setting} is {model.dtype[:40]!r}; set it to auto, {', '.join(DTYPES)}")
    dtype = DTYPES[model.dtype]
    if dtype != torch.float32 and device.type == "cpu" and not half_on_cpu:
        raise WorkerStartFailed(
            f"{setting} is {model.dtype!r}, and this backend computes in float32 on the CPU; set it to auto"
        )
    if device.type == "cuda" and not computes_in(device, dtype):
        raise WorkerStartFailed(
            f"{setting} is {model.dtype!r}, and {shown(device)} only imitates it, slowly; set it to auto, or to "
            f"{str(best_half(device, torch.float16)).removeprefix('torch.')}"
        )
    return dtype


def why_no_gpu() -> str:
    """The reason for which torch finds no CUDA GPU, in a few words."""
    if torch.version.cuda is None and torch.version.hip is None:
        return f"torch {torch.__version__} is built without CUDA"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        return str(error).partition(". ")[0].partition("\n")[0][:120]
    return "the driver shows none; CUDA_VISIBLE_DEVICES may hide them"


def _automatic() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    cards = [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    usable = [card for card in cards if is_supported(card)]
    if not usable:
        log.warning("device is 'auto': computing on the CPU, since %s", why_unsupported(cards[0]))
    return usable[0] if usable else torch.device("cpu")
