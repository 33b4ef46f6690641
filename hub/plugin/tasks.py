"""TaskKind: the object that `register_task_kinds` registers, a kind of long job that survives restarts."""

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
    """The work of an accepted task.

    `data` is the input of `TaskKind.run`, encoded as the kind chooses (msgspec works well; never use pickle); `steps`
    is the number of steps.
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
    """`Job.data` as `accept` returned it."""
    folder: Path
    """The task's own folder, for its result. It exists as long as the task does."""
    scratch: Path
    """A subfolder for files that are needed only until the task has ended."""

    async def done(self) -> Mapping[int, bytes]:
        """Return the records of the finished steps, by number, including those from before a restart."""
        ...

    async def finish_step(self, number: int, record: bytes, *, audio: float = 0.0) -> None:
        """Record that a step is done. Its files must be on the disk before this call.

        `audio` is the length of the step's audio in seconds. Raises StorageFailed.
        """
        ...

    def waits(self, reason: Exception | None) -> None:
        """Show the reason why the task waits; None: it goes on."""
        ...

    async def persist(self, model: HostModel, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `attempt`. Let requests go first, wait while the model is busy, and show that (`waits`).

        If the model's worker crashes, try again, a few times. Raises the error of the last attempt, and any other
        HubError at once.
        """
        ...

    async def write_audio(self, speech: Speaking, format: AudioFormat, name: str) -> AudioFile:
        """Write a speech to its end and close it. The file is `name` plus the container's extension, in `folder`.

        The file is written whole or not at all. Raises StorageFailed, or the errors of the speech.
        """
        ...


class TaskKind(Protocol):
    """A kind of long job: `POST /v1/tasks/<name>` takes its `body`, and the hub runs it, again after a restart.

    The work is split into steps. The hub may be killed at any moment; it then runs the task again, and `TaskWork.done`
    returns the finished steps. A step that was interrupted is repeated from its start, so it must be repeatable.
    """

    @property
    def name(self) -> str:
        """The name in routes and listings: lower case letters, digits and `-`."""
        ...

    @property
    def body(self) -> type[Struct]:
        """The type of the request's body. Its field `id` (`str | None`), if any, is the client's id for the task."""
        ...

    async def accept(self, hub: Host, body: Any) -> Job:
        """Check a body and return the job. Make random choices, such as a seed, here. Raises HubError."""
        ...

    async def run(self, work: TaskWork) -> dict[str, Any]:
        """Do the steps that are left; return the value of `Task.result` (JSON types).

        A result with files to download lists them: `{"items": [{"file": "001.wav", "media_type": ...}]}`, in
        `work.folder`. Raises HubError to fail the task, StorageFailed to let the hub run it again later. The hub
        cancels this coroutine when the task is cancelled or the hub stops.
        """
        ...
