"""Work: a task under way, as its kind gets it, and the removal of its files."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from hub.contract.errors import HubError, InternalError
from hub.contract.speaking import Speaking
from hub.contract.speech import AudioFormat
from hub.plugin.host import Host, HostModel
from hub.plugin.tasks import AudioFile, TaskWork
from hub.service.disk.folder import remove, storing, sweep
from hub.service.tasks.patience import persist
from hub.service.tasks.store import Store
from hub.service.tasks.write_audio import write_audio

log = logging.getLogger("hub.tasks")

T = TypeVar("T")


class Work(TaskWork):
    """The hub's `TaskWork`. It calls `changed` after each step, and `note` with the reason why the task waits."""

    def __init__(
        self,
        hub: Host,
        store: Store,
        folder: Path,
        *,
        id: str,
        job: bytes,
        changed: Callable[[], None],
        note: Callable[[HubError | None], None],
    ) -> None:
        self.id = id
        self.hub = hub
        self.job = job
        self.folder = folder
        self.scratch = folder / "scratch"
        self._store = store
        self._changed = changed
        self._note = note

    def prepare(self) -> None:
        """Create the folders and remove incomplete files of a killed hub. Raises StorageFailed."""
        with storing("the task"):
            self.scratch.mkdir(parents=True, exist_ok=True)
            sweep(self.folder)
            sweep(self.scratch)

    async def done(self) -> Mapping[int, bytes]:
        """Implement `TaskWork.done`."""
        return await self._store.steps(self.id)

    async def finish_step(self, number: int, record: bytes, *, audio: float = 0.0) -> None:
        """Implement `TaskWork.finish_step`."""
        await self._store.finish_step(self.id, number, record, audio)
        self._changed()

    def waits(self, reason: Exception | None) -> None:
        """Implement `TaskWork.waits`."""
        self._note(reason if reason is None or isinstance(reason, HubError) else InternalError(str(reason)))

    async def persist(self, model: HostModel, attempt: Callable[[], Awaitable[T]]) -> T:
        """Implement `TaskWork.persist`."""
        return await persist(model, attempt, self.waits)

    async def write_audio(self, speech: Speaking, format: AudioFormat, name: str) -> AudioFile:
        """Implement `TaskWork.write_audio`."""
        return await write_audio(speech, format, self.folder, name, self.hub.encoders)


def discard(path: Path) -> None:
    """Remove a folder if it exists. A failure is only logged, because expiry tries again."""
    try:
        remove(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        log.warning("could not remove %s: %s", path, error.strerror)
