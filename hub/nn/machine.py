"""What torch and ONNX Runtime find of this machine, for `ttshub check`, which runs it in a worker's interpreter."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch

from hub.contract.backend import ModelConfig
from hub.contract.errors import HubError
from hub.contract.machine import Card, Machine, Onnx
from hub.nn import nvml
from hub.nn.device import why_no_gpu

CUDA = "CUDAExecutionProvider"

_NEGATION = (
    b'\x08\x07:2\n\x0b\n\x01x\x12\x01y"\x03Neg\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01'
    b"b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\r"
)
"""An ONNX model of one node, y = -x: enough to find out whether the CUDA provider starts."""


def machine(model: ModelConfig, place: Callable[[ModelConfig], object] | None) -> Machine:
    """A report. `place` gives the placement of `model`, or raises what its load would raise; None: not known."""
    placement, problem = "", ""
    try:
        placement = str(place(model)) if place is not None else ""
    except HubError as error:
        problem = error.message
    cards = tuple(_card(number) for number in range(torch.cuda.device_count())) if torch.cuda.is_available() else ()
    return Machine(
        torch=str(torch.__version__),
        cuda=torch.version.cuda or torch.version.hip or "",
        driver=nvml.driver(),
        cards=cards,
        missing="" if cards else why_no_gpu(),
        placement=placement,
        problem=problem,
        onnx=_onnx(sys.modules.get("onnxruntime"), try_cuda=placement.startswith("cuda")),
    )


def _card(number: int) -> Card:
    major, minor = torch.cuda.get_device_capability(number)
    try:
        free, total = torch.cuda.mem_get_info(number)
    except RuntimeError:  # full, or in use by another process alone
        free, total = 0, torch.cuda.get_device_properties(number).total_memory
    return Card(name=torch.cuda.get_device_name(number), capability=f"{major}.{minor}", total=total, free=free)


def _onnx(runtime: Any, *, try_cuda: bool) -> Onnx | None:
    """ONNX Runtime, if the backend has imported it. It falls back to the CPU without an error, hence the trial."""
    if runtime is None:
        return None
    offered = CUDA in runtime.get_available_providers()
    works = False
    if offered and try_cuda:
        try:
            session = runtime.InferenceSession(_NEGATION, providers=[CUDA, "CPUExecutionProvider"])
            works = session.get_providers()[0] == CUDA
        except Exception:  # its exceptions have no common base of use
            works = False
    return Onnx(version=runtime.__version__, offered=offered, works=works)
