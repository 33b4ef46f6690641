"""The memory of a model's device, as the worker itself sees it: `Synthesizer.memory` for models of torch."""

from __future__ import annotations

import gc
import os

import torch

from hub.nn import nvml
from hub.nn.graphs import CAPTURE_LOCK

CONTEXT = 512 * 1024**2
"""About what CUDA itself takes in a process: its context and the code of its kernels. Used where no one says it."""


class DeviceMemory:
    """A `hub.contract.Memory` of `device`. On a CPU it leaves the measuring to the hub, and caches nothing."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def held(self) -> int | None:
        """Bytes of a CUDA device that this process holds, with CUDA's own; None for another device.

        It is NVML's figure for this process. Where NVML does not know it by its id (in a container), it is that of the
        only process there is; else what torch has reserved and CONTEXT, but no more than is taken of the device.
        """
        if self._device.type != "cuda":
            return None
        reserved = torch.cuda.memory_reserved(self._device)
        found = nvml.processes(str(getattr(torch.cuda.get_device_properties(self._device), "uuid", ""))) or {}
        known = found.get(os.getpid(), next(iter(found.values())) if len(found) == 1 else 0)
        if known > reserved:  # else it is another process with an id like ours
            return known
        with CAPTURE_LOCK:
            free, total = torch.cuda.mem_get_info(self._device)
        return max(reserved, min(reserved + CONTEXT, total - free))

    def free(self) -> None:
        """Give torch's caches back to the device, once no graph is being captured."""
        gc.collect()
        with CAPTURE_LOCK:
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            elif self._device.type == "mps":
                torch.mps.empty_cache()
