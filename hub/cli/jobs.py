"""Tasks for the commands: of a hub over HTTP, or of one in this process with a state folder of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import quote

import msgspec

from hub.cli.failure import Failed, Unreachable
from hub.cli.remote import RemoteHub
from hub.contract.errors import from_fault
from hub.contract.event import Fault
from hub.contract.task import Task

if TYPE_CHECKING:
    from hub.cli.session import Session
    from hub.service.hub import Hub
    from hub.service.tasks.speech_plan import SpeechTask

RETRIES = 30
"""Attempts, one a second, to reach a watched hub that has gone away; once back, it resumes its tasks."""


class Jobs(Protocol):
    """The tasks of a hub. Every method raises HubError, or Unreachable."""

    async def submit(self, body: SpeechTask) -> Task:
        """Submit a task, or find the one with this id and body."""
        ...

    def watch(self, id: str) -> AsyncIterator[Task]:
        """Yield the task now and whenever it changes, until it has ended."""
        ...

    async def fetch(self, id: str, name: str, target: Path, **query: Any) -> None:
        """Write a file of the result to `target`, once it is whole: `name` in the result, `query` for the route."""
        ...

    async def delete(self, id: str) -> None:
        """Delete a task."""
        ...


class RemoteJobs:
    """The `Jobs` of the hub at a URL."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self.hub = RemoteHub(url, api_key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.hub.__aexit__(*error)

    async def submit(self, body: SpeechTask) -> Task:
        """Implement `Jobs.submit`."""
        return msgspec.convert(await self.hub.call("POST", "/v1/tasks/speech", body), Task)

    async def get(self, id: str) -> Task:
        """Return a task."""
        return msgspec.convert(await self.hub.get(_path(id)), Task)

    async def page(self, limit: int, **wanted: str | None) -> list[Task]:
        """Return the newest tasks."""
        query = "".join(f"&{name}={quote(value)}" for name, value in wanted.items() if value)
        return msgspec.convert((await self.hub.get(f"/v1/tasks?limit={limit}{query}"))["tasks"], list[Task])

    async def cancel(self, id: str) -> Task:
        """Stop a task."""
        return msgspec.convert(await self.hub.call("POST", f"{_path(id)}/cancel"), Task)

    async def delete(self, id: str) -> None:
        """Implement `Jobs.delete`."""
        await self.hub.call("DELETE", _path(id))

    async def watch(self, id: str) -> AsyncIterator[Task]:
        """Implement `Jobs.watch`; wait for a hub that goes away."""
        lost = 0
        while True:
            try:
                async with self.hub.open(f"{_path(id)}/events") as response:
                    name = ""
                    async for line in response.aiter_lines():
                        key, _, value = line.partition(": ")
                        if key == "event":
                            name = value
                        elif key == "data" and name == "error":
                            raise from_fault(msgspec.json.decode(value, type=Fault))
                        elif key == "data":
                            lost = 0
                            yield msgspec.json.decode(value, type=Task)
                            if name == "end":
                                return
            except Unreachable:
                if lost >= RETRIES:
                    raise
            lost += 1
            await asyncio.sleep(1.0)

    async def fetch(self, id: str, name: str, target: Path, **query: Any) -> None:
        """Implement `Jobs.fetch`."""
        asked = "&".join(f"{key}={value}" for key, value in query.items() if value is not None)
        with _part(target) as part:
            async with self.hub.open(f"{_path(id)}/result?{asked}") as response:
                with part.open("wb") as file:
                    async for data in response.aiter_bytes():
                        file.write(data)


class LocalJobs:
    """The `Jobs` of a hub in this process. Work that is unfinished at its end stays in `folder` for the next run."""

    def __init__(self, hub: Hub, folder: Path, wanted: Collection[str]) -> None:
        """`wanted` are the ids of the tasks to come; leftovers of others are deleted."""
        from hub.service.tasks.tasks import Tasks

        hub.tasks = Tasks(hub, hub.tasks.kinds, hub.settings.tasks, folder=folder)
        self._hub = hub
        self._folder = folder
        self._wanted = wanted

    async def __aenter__(self) -> Self:
        if self._folder.is_dir():
            for task in await self._hub.tasks.page(limit=10_000):
                if task.id not in self._wanted:
                    await self.delete(task.id)
        return self

    async def __aexit__(self, kind: object, *error: object) -> None:
        unfinished = kind is not None or bool(await self._hub.tasks.page(limit=1))
        await self._hub.stop()
        if not unfinished:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def submit(self, body: SpeechTask) -> Task:
        """Implement `Jobs.submit`."""
        return (await self._hub.tasks.submit("speech", body))[0]

    def watch(self, id: str) -> AsyncIterator[Task]:
        """Implement `Jobs.watch`."""
        return self._hub.tasks.watch(id)

    async def delete(self, id: str) -> None:
        """Implement `Jobs.delete`."""
        await self._hub.tasks.delete(id)

    async def fetch(self, id: str, name: str, target: Path, **query: Any) -> None:
        """Implement `Jobs.fetch`."""
        with _part(target) as part:
            await asyncio.to_thread(shutil.copyfile, self._hub.tasks.folder_of(id) / name, part)


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """Yield a path beside `target`; its file replaces `target` after the block, or is removed. Raises Failed."""
    path = target.with_name(f".{target.name}.part")
    try:
        yield path
        os.replace(path, target)
    except OSError as error:
        raise Failed("bad_output", f"cannot write {target}: {error.strerror}") from None
    finally:
        with suppress(OSError):
            path.unlink()


@asynccontextmanager
async def open_jobs(
    session: Session, folder: Path, wanted: Collection[str], url: str | None, api_key: str | None
) -> AsyncIterator[Jobs]:
    """Open the tasks of the hub at `url`, else of one in this process that keeps those `wanted` in `folder`."""
    if url:
        async with RemoteJobs(url, api_key) as remote:
            yield remote
        return
    from hub.service.hub import Hub

    settings = session.settings()
    async with LocalJobs(Hub.build(settings, session.plugins(settings)), folder, wanted) as local:
        yield local


def _path(id: str) -> str:
    return f"/v1/tasks/{quote(id, safe='')}"
