"""The state of the pretend GPU: its devices and memory, what was counted, and the capture under way."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from hub.testing.pretend_gpu.counts import Counts
from hub.testing.pretend_gpu.rules import CaptureDisturbed, HostWaits


class PretendGpu:
    """What `pretend_gpu` yields: `devices` cards of `memory` bytes each, of one compute `capability`."""

    def __init__(self, devices: int, memory: int, capability: tuple[int, int]) -> None:
        self.devices = devices
        self.memory = memory
        self.capability = capability
        self.lock = threading.RLock()
        self.capture: Any = None
        """The capture under way, of whatever thread."""
        self.here = threading.local()
        """Of each thread: its current device and streams."""
        self.streams: weakref.WeakSet[Any] = weakref.WeakSet()
        self.default_streams: dict[int, Any] = {}
        self.allocated = [0] * devices
        self.peaks = [0] * devices
        self._counts = Counts()

    @property
    def counts(self) -> Counts:
        """The counts since the start."""
        with self.lock:
            return self._counts.copy()

    @contextmanager
    def counted(self) -> Iterator[Counts]:
        """Counts of one block, of all threads; they are filled in when the block ends."""
        found, before = Counts(), self.counts
        try:
            yield found
        finally:
            vars(found).update(vars(self.counts.since(before)))

    def count(self, **more: int) -> None:
        """Add to the counts."""
        with self.lock:
            for name, number in more.items():
                setattr(self._counts, name, getattr(self._counts, name) + number)

    @property
    def current(self) -> int:
        """The number of this thread's current device."""
        return getattr(self.here, "device", 0)

    def device(self, asked: Any = None) -> torch.device:
        """`asked` (a device, a string, a number, None) as a device with its number."""
        if asked is None or isinstance(asked, int):
            number = self.current if asked is None or asked < 0 else asked
        else:
            found = torch.device(asked)
            if found.type != "cuda":
                raise ValueError(f"expected a cuda device, but got: {found}")
            number = self.current if found.index is None else found.index
        if number >= self.devices:
            raise RuntimeError(f"CUDA error: invalid device ordinal (cuda:{number} of {self.devices})")
        return torch.device("cuda", number)

    def inside(self) -> Any:
        """The capture that this thread is making, or None."""
        capture = self.capture
        return capture if capture is not None and capture.thread == threading.get_ident() else None

    def host_waits(self, what: str, error: type[HostWaits] = HostWaits) -> None:
        """Note that the host waits for a device. Raises `error` inside a capture."""
        capture = self.capture
        if self.inside() is not None:
            raise error(what)
        if capture is not None and capture.mode == "global":
            raise CaptureDisturbed(f"{what}, during a capture whose error mode is global")
        self.count(synchronisations=1)

    def undisturbed(self, what: str) -> None:
        """Raise CaptureDisturbed if any thread is capturing."""
        if self.capture is not None:
            raise CaptureDisturbed(what)


_active: list[PretendGpu] = []


def active() -> PretendGpu:
    """The pretend GPU that is on."""
    if not _active:
        raise RuntimeError("the pretend GPU is off: its tensors live as long as the block of pretend_gpu()")
    return _active[-1]


def is_active() -> bool:
    """True while one is on."""
    return bool(_active)


def activate(machine: PretendGpu) -> None:
    """Make `machine` the one that is on."""
    _active.append(machine)


def deactivate() -> None:
    """Switch it off."""
    _active.pop()
