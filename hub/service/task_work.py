"""Work: a task under way, as its kind gets it; and what becomes of its files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hub.contract.errors import HubError, InternalError
from hub.plugin.tasks import TaskWork
from hub.service.folder import remove, storing, sweep
from hub.service.store import Store

if TYPE_CHECKING:
    from hub.service.hub import Hub
    from hub.service.tasks import Tasks

log = logging.getLogger("hub.tasks")


class Work(TaskWork):
    """See `TaskWork`, whose methods these are."""

    def __init__(self, tasks: Tasks, store: Store, id: str, job: bytes, hub: Hub) -> None:
        self.id = id
        self.hub = hub
        self.job = job
        self.folder = tasks.place(id)
        self.scratch = self.folder / "scratch"
        self._tasks = tasks
        self._store = store

    def prepare(self) -> None:
        """Make the folders, or clear them of what a death left behind. Raises StorageFailed."""
        with storing("the task"):
            self.scratch.mkdir(parents=True, exist_ok=True)
            sweep(self.folder)
            sweep(self.scratch)

    async def done(self) -> Mapping[int, bytes]:
        """See `TaskWork`."""
        return await self._store.steps(self.id)

    async def finish_step(self, number: int, record: bytes, *, audio: float = 0.0) -> None:
        """See `TaskWork`."""
        await self._store.finish_step(self.id, number, record, audio)
        self._tasks.changed(self.id)

    def waits(self, reason: Exception | None) -> None:
        """See `TaskWork`."""
        known = reason is None or isinstance(reason, HubError)
        self._tasks.note(self.id, reason if known else InternalError(str(reason)))  # type: ignore[arg-type]


def discard(path: Path) -> None:
    """Remove a folder, if it is there. If that fails it is logged: expiry tries again."""
    try:
        remove(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("could not remove %s: %s", path, error.strerror)
