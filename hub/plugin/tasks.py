"""TaskKind: what `register_task_kinds` registers, a kind of long job that survives restarts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from hub.contract.speaking import Speaking
from hub.contract.speech import AudioFormat
from hub.plugin.host import Host, HostModel

T = TypeVar("T")


class Job(Struct, kw_only=True, frozen=True):
    """What an accepted task has to do.

    `data` is all that `TaskKind.run` needs, in bytes of the kind's own (msgspec makes good ones; never pickle);
    `steps` is how many steps the work has.
    """

    data: bytes
    steps: int


class AudioFile(Struct, kw_only=True, frozen=True):
    """A file of a task's result, as an item of `Task.result` shows it."""

    file: str
    media_type: str
    container: str
    sample_rate: int
    seconds: float
    bytes: int


class TaskWork(Protocol):
    """One task under way, as `TaskKind.run` gets it."""

    id: str
    hub: Host
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

    async def persist(self, model: HostModel, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` returns: lets requests go first, waits while the model is busy, and shows so (`waits`).

        When the model's worker breaks down it is tried again, a few times. Raises what the last attempt raised, and any
        other HubError at once.
        """
        ...

    async def write_audio(self, speech: Speaking, format: AudioFormat, name: str) -> AudioFile:
        """Write a speech to its end, and close it. The file is `name` plus the container's extension, in `folder`.

        It is there whole or not at all. Raises StorageFailed, or what the speech raises.
        """
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

    async def accept(self, hub: Host, body: Any) -> Job:
        """Check a body and say what is to be done. Random choices (a seed) are made here. Raises HubError."""
        ...

    async def run(self, work: TaskWork) -> dict[str, Any]:
        """Do what is not done yet; returns what `Task.result` shows (JSON types).

        A result that is to be downloaded lists its files: `{"items": [{"file": "001.wav", "media_type": ...}]}`, in
        `work.folder`. Raises HubError to fail the task, StorageFailed to be tried again later. Cancelled
        (`asyncio.CancelledError`) when nobody wants the rest, or when the hub stops.
        """
        ...
