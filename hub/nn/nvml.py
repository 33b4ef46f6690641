"""NVML, the library behind nvidia-smi: which processes hold how much of a GPU, by its UUID, without a context of CUDA.

It comes with the driver; nothing has to be installed. A GPU is found by its UUID, because numbers depend on
CUDA_VISIBLE_DEVICES, and a part of one (MIG) has a UUID of its own.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

LIBRARIES = ("libnvidia-ml.so.1", "nvml.dll")

PREFIXES = ("MIG-", "GPU-")
"""Before the UUID that CUDA gives. It may be that of a part or that of the whole card."""

UNKNOWN = 2**64 - 1
"""The memory of a process where the driver does not say it, as on a Windows desktop."""

_MANY = 1024


class _Process(ctypes.Structure):
    """nvmlProcessInfo_t."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


def processes(uuid: str) -> dict[int, int] | None:
    """Bytes by process id on the GPU of this UUID, as far as known; None without NVML or such a GPU.

    In a container with process ids of its own the ids are those of the host, or there are none.
    """
    library = _library()
    device = _device(library, uuid) if library is not None else None
    if library is None or device is None:
        return None
    count, found = ctypes.c_uint(_MANY), (_Process * _MANY)()
    if library.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(count), found) != 0:
        return None
    held: dict[int, int] = {}
    for process in found[: count.value]:
        if process.used != UNKNOWN:
            held[process.pid] = held.get(process.pid, 0) + process.used
    return held


def driver() -> str:
    """The version of the driver; "" without NVML."""
    library, found = _library(), ctypes.create_string_buffer(80)
    if library is None or library.nvmlSystemGetDriverVersion(found, len(found)) != 0:
        return ""
    return found.value.decode(errors="replace")


@cache
def _library() -> Any:
    for name in LIBRARIES:
        try:
            library = ctypes.CDLL(name)
            if library.nvmlInit_v2() == 0 and hasattr(library, "nvmlDeviceGetComputeRunningProcesses_v3"):
                return library
        except (OSError, AttributeError):
            continue
    return None


def _device(library: Any, uuid: str) -> ctypes.c_void_p | None:
    names = [uuid] if uuid.startswith(PREFIXES) else [prefix + uuid for prefix in PREFIXES]
    for name in names:
        handle = ctypes.c_void_p()
        if library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle)) == 0:
            return handle
    return None
