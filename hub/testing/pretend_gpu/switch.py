"""Switching the pretend GPU on and off."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hub.testing.pretend_gpu import factories, graphs, streams
from hub.testing.pretend_gpu.generators import DeviceGenerator
from hub.testing.pretend_gpu.machine import PretendGpu, activate, active, deactivate, is_active

_missing = object()


@contextlib.contextmanager
def pretend_gpu(
    devices: int = 2, *, memory: int = 8 << 30, capability: tuple[int, int] = (8, 0)
) -> Iterator[PretendGpu]:
    """Let torch have `devices` GPUs of `memory` bytes and of compute `capability`, in the whole process.

    Raises RuntimeError where there is a real GPU (hide it: CUDA_VISIBLE_DEVICES=""), or inside another such block.
    """
    if is_active():
        raise RuntimeError("the pretend GPU is on already")
    if torch.cuda.is_available():
        raise RuntimeError('this machine has a GPU; hide it from the test with CUDA_VISIBLE_DEVICES=""')
    torch._C._ensureCUDADeviceGuardSet()
    machine = PretendGpu(devices, memory, capability)
    with contextlib.ExitStack() as stack:
        activate(machine)
        stack.callback(deactivate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch has kernels of these names, for real GPUs
            library = factories.kernels()
        stack.callback(library._destroy)
        overwriting = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwriting)
        stack.callback(setattr, graphs.graph, "default_capture_stream", None)
        for owner, name, value in [*factories.replacements(), *_torch_cuda()]:
            _replace(stack, owner, name, value)
        yield machine


@pytest.fixture
def gpu() -> Iterator[PretendGpu]:
    """Two pretend GPUs, for one test; it is skipped where there is a real one."""
    if torch.cuda.is_available():
        pytest.skip("there is a real GPU")
    with pretend_gpu() as machine:
        yield machine


def _replace(stack: contextlib.ExitStack, owner: Any, name: str, value: Any) -> None:
    before = vars(owner).get(name, _missing)
    setattr(owner, name, value)
    if before is _missing:
        stack.callback(delattr, owner, name)
    else:
        stack.callback(setattr, owner, name, before)


def _torch_cuda() -> Iterator[tuple[Any, str, Any]]:
    """What `torch.cuda` has while the pretend GPU is on."""
    found = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "init": lambda: None,
        "device_count": lambda: active().devices,
        "current_device": lambda: active().current,
        "default_generators": tuple(DeviceGenerator(f"cuda:{number}") for number in range(active().devices)),
        "set_device": _set_device,
        "device": streams.device,
        "stream": streams.stream,
        "set_stream": streams.set_stream,
        "Stream": streams.Stream,
        "Event": streams.Event,
        "current_stream": streams.current_stream,
        "default_stream": streams.default_stream,
        "synchronize": streams.synchronize,
        "CUDAGraph": graphs.CUDAGraph,
        "graph": graphs.graph,
        "graph_pool_handle": graphs.graph_pool_handle,
        "is_current_stream_capturing": graphs.is_current_stream_capturing,
        "empty_cache": graphs.empty_cache,
        "get_device_capability": lambda device=None: active().device(device) and active().capability,
        "get_device_name": lambda device=None: f"Pretend GPU {active().device(device).index}",
        "get_device_properties": _properties,
        "is_bf16_supported": lambda including_emulation=True: including_emulation or active().capability >= (8, 0),
        "mem_get_info": _free_and_total,
        "memory_allocated": lambda device=None: active().allocated[active().device(device).index],
        "memory_reserved": lambda device=None: active().allocated[active().device(device).index],
        "max_memory_allocated": lambda device=None: active().peaks[active().device(device).index],
        "max_memory_reserved": lambda device=None: active().peaks[active().device(device).index],
        "reset_peak_memory_stats": _reset_peak,
        "manual_seed_all": lambda seed: [one.manual_seed(seed) for one in torch.cuda.default_generators] and None,
    }
    for name, value in found.items():
        yield torch.cuda, name, value


def _set_device(device: Any) -> None:
    active().here.device = active().device(device).index


def _free_and_total(device: Any = None) -> tuple[int, int]:
    machine = active()
    return machine.memory - machine.allocated[machine.device(device).index], machine.memory


def _reset_peak(device: Any = None) -> None:
    machine = active()
    number = machine.device(device).index
    machine.peaks[number] = machine.allocated[number]


def _properties(device: Any = None) -> SimpleNamespace:
    machine = active()
    major, minor = machine.capability
    return SimpleNamespace(
        name=f"Pretend GPU {machine.device(device).index}",
        major=major,
        minor=minor,
        total_memory=machine.memory,
        multi_processor_count=80,
        uuid="00000000-0000-0000-0000-000000000000",
    )
