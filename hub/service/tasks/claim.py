"""Claim: one process at a time works on the tasks of a data folder."""

from __future__ import annotations

import os
from pathlib import Path

from hub.contract.errors import Unavailable

try:
    import fcntl
except ImportError:  # Windows: two hubs on one data folder are not noticed
    fcntl = None  # type: ignore[assignment]


class Claim:
    """Held from its making to `release`, or until the process dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        """Claim `folder`, which is made if it is not there. Raises Unavailable if it is taken, OSError."""
        folder.mkdir(parents=True, exist_ok=True)
        self._handle: int | None = os.open(folder / ".claim", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if fcntl is None:
            return
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise Unavailable(
                "another hub works on the tasks in this data folder; ask that one, or set another `data` folder"
            ) from None

    def release(self) -> None:
        """Let others have it."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
