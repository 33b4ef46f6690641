"""The device of the tone backend, which is not there: its memory, and the errors that torch would raise for it."""

from __future__ import annotations

import threading


class OutOfMemoryError(RuntimeError):
    """Named as torch's: the engine knows such errors by their names."""


class AcceleratorError(RuntimeError):
    """Named as torch's."""


class ToneDevice:
    """A `Memory` of `size` bytes, which requests fill up or break."""

    def __init__(self, size: int | None = None) -> None:
        self._size = size
        self._full = threading.Event()
        self._broken = threading.Event()

    def held(self) -> int | None:
        """Return the size that the options name, or None."""
        return self._size

    def free(self) -> None:
        """Make room for the next request."""
        self._full.clear()

    def fill(self) -> None:
        """Let every step fail until `free` is called, as a full cache would."""
        self._full.set()

    def break_down(self) -> None:
        """Let every step fail for as long as the process lives, as after an assertion on a GPU."""
        self._broken.set()

    def step(self) -> None:
        """Compute something. Raises the error of a device that is full or broken."""
        if self._broken.is_set():
            raise AcceleratorError("CUDA error: device-side assert triggered")
        if self._full.is_set():
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 is full.")
