"""TaskKind: what `register_task_kinds` registers, a kind of long job that survives restarts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from hub.service.hub import Hub


class Job(Struct, kw_only=True, frozen=True):
    """What an accepted task has to do.

    `data` is all that `TaskKind.run` needs, in bytes of the kind's own (msgspec makes good ones; never pickle);
    `steps` is how many steps the work has.
    """

    data: bytes
    steps: int


class TaskWork(Protocol):
    """One task under way, as `TaskKind.run` gets it."""

    id: str
    hub: Hub
    job: bytes
    """What `accept` returned as `Job.data`."""
    folder: Path
    """The task's own folder, for its result. It exists, and lives as long as the task."""
    scratch: Path
    """A folder in it for what is needed only until the task has ended."""

    async def done(self) -> Mapping[int, bytes]:
        """The record of each step that is done, from this run or one before a restart, by number."""
        ...

    async def finish_step(self, number: int, record: bytes, *, audio: float = 0.0) -> None:
        """Commit that a step is done. Whatever else the step leaves must be on the disk before.

        `audio` is the seconds that the step has spoken. Raises StorageFailed.
        """
        ...

    def waits(self, reason: Exception | None) -> None:
        """Show why the task does not go on at the moment; None: it goes on."""
        ...


class TaskKind(Protocol):
    """A kind of long job: `POST /v1/tasks/<name>` takes its `body`, and the hub runs it, again after a restart.

    Work is cut into steps. A hub that is killed at any moment runs the task again, and `TaskWork.done` tells which
    steps need no second time; a step that was under way is done anew, so a step must be repeatable.
    """

    @property
    def name(self) -> str:
        """In routes and listings: lower case letters, digits and `-`."""
        ...

    @property
    def body(self) -> type[Struct]:
        """What callers send. An `id` field (`str | None`), if it has one, is the client's id for the task."""
        ...

    async def accept(self, hub: Hub, body: Any) -> Job:
        """Check a body and say what is to be done. Random choices (a seed) are made here. Raises HubError."""
        ...

    async def run(self, work: TaskWork) -> dict[str, Any]:
        """Do what is not done yet; returns what `Task.result` shows (JSON types).

        A result that is to be downloaded lists its files: `{"items": [{"file": "001.wav", "media_type": ...}]}`, in
        `work.folder`. Raises HubError to fail the task, StorageFailed to be tried again later. Cancelled
        (`asyncio.CancelledError`) when nobody wants the rest, or when the hub stops.
        """
        ...
