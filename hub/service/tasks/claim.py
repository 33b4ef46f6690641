"""Claim: the lock by which one process at a time works on the tasks of a data folder."""

from __future__ import annotations

import os
from pathlib import Path

from hub.contract.errors import Unavailable

try:
    import fcntl
except ImportError:  # Windows: two hubs on one data folder go undetected
    fcntl = None  # type: ignore[assignment]


class Claim:
    """A lock on a folder, held from construction to `release` or the death of the process, however it dies."""

    def __init__(self, folder: Path) -> None:
        """Create `folder` if necessary and claim it. Raises OSError, and Unavailable if another process holds it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._handle: int | None = os.open(folder / ".claim", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if fcntl is None:
            return
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise Unavailable(
                "another hub works on the tasks in this data folder; call that hub, or set another `data` folder"
            ) from None

    def release(self) -> None:
        """Release the folder."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
