"""Store: tasks and their finished steps in a database, SQLite or one that a URL names.

SQLAlchemy is imported when a store is opened, not before: a hub without tasks needs no database. Every write is one
transaction and is on the disk (`synchronous=FULL`) when its method returns. A caller that is cancelled meanwhile
leaves a write that is either whole or not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from hub.contract.errors import StorageFailed
from hub.contract.task import Task, TaskProgress
from hub.settings import SettingsError

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

UNFINISHED = ("pending", "processing")

T = TypeVar("T")


class Accepted(Struct, kw_only=True, frozen=True):
    """A task as it is stored when it is accepted. `digest` is of the body, `owner` the name of the caller's key."""

    id: str
    kind: str
    digest: str
    owner: str
    job: bytes
    steps: int
    created: float


class Exists(Exception):
    """A task of this id is stored already."""


class Store:
    """The tasks of one hub. Raises StorageFailed where the database cannot be read or written."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's, with an asynchronous driver; see `sqlite_url` and `hub.settings`."""
        from hub.service.tasks import tables

        self._tables = tables
        self._engine = tables.open_engine(url)
        self._turn = asyncio.Lock()  # one writer at a time: SQLite has no more, and waits are then fair
        self._at_work: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Make the tables if they are not there."""
        await self._run(self._tables.create)

    async def close(self) -> None:
        """Let writes under way end, then close."""
        while self._at_work:
            await asyncio.wait(self._at_work)
        await self._engine.dispose()

    async def add(self, task: Accepted) -> None:
        """Store a new task. Raises Exists."""
        await self._run(lambda connection: self._tables.add(connection, msgspec.structs.asdict(task)))

    async def get(self, id: str) -> Task | None:
        """The task of this id."""
        row = await self._run(lambda connection: self._tables.get(connection, id))
        return None if row is None else _task(row)

    async def identity(self, id: str) -> tuple[str, str] | None:
        """Digest and owner of a task."""
        row = await self._run(lambda connection: self._tables.get(connection, id))
        return None if row is None else (row["digest"], row["owner"])

    async def job(self, id: str) -> tuple[str, bytes, str] | None:
        """Kind, job and owner of a task."""
        return await self._run(lambda connection: self._tables.job(connection, id))

    async def page(
        self, *, owner: str | None, state: str | None, kind: str | None, before: str | None, limit: int
    ) -> list[Task]:
        """Tasks, the newest first: those older than the task `before`, at most `limit`."""
        rows = await self._run(lambda connection: self._tables.page(connection, owner, state, kind, before, limit))
        return [_task(row) for row in rows]

    async def unfinished(self) -> list[str]:
        """Ids of all tasks that are pending or processing, the oldest first."""
        return await self._run(lambda connection: self._tables.unfinished(connection))

    async def started(self, id: str, at: float) -> bool:
        """The task is processing; False if it is finished or gone meanwhile. A second start keeps the first's time."""
        return await self._run(lambda connection: self._tables.started(connection, id, at))

    async def ended(
        self,
        id: str,
        state: str,
        at: float,
        *,
        expires: float,
        error: dict[str, Any] | None = None,
        result: dict[str, Any] | None = None,
    ) -> bool:
        """An unfinished task ends in `state`; False if it is not unfinished."""
        values = {
            "state": state,
            "finished": at,
            "expires": expires,
            "error": error and msgspec.json.encode(error).decode(),
            "result": result and msgspec.json.encode(result).decode(),
        }
        return await self._run(lambda connection: self._tables.ended(connection, id, values))

    async def steps(self, id: str) -> Mapping[int, bytes]:
        """The records of a task's finished steps, by number."""
        return await self._run(lambda connection: self._tables.steps(connection, id))

    async def finish_step(self, id: str, number: int, record: bytes, audio: float) -> None:
        """A step is done: its record and the task's progress, in one transaction. A second time changes nothing."""
        await self._run(lambda connection: self._tables.finish_step(connection, id, number, record, audio))

    async def delete(self, id: str) -> None:
        """Forget a task and its steps."""
        await self._run(lambda connection: self._tables.delete_task(connection, id))

    async def expired(self, now: float) -> tuple[list[str], float | None]:
        """Ids of the tasks whose time is over, and when the next one's will be."""
        return await self._run(lambda connection: self._tables.expired(connection, now))

    async def _run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """`work` in a transaction, in a task of its own: a caller that is cancelled must not break it off halfway."""

        async def transaction() -> T:
            async with self._turn:
                try:
                    async with self._engine.begin() as connection:
                        return await work(connection)
                except self._tables.IntegrityError:
                    raise Exists from None
                except (self._tables.DBAPIError, OSError) as error:
                    raise StorageFailed(f"the database of the tasks failed: {_reason(error)}") from error

        task = asyncio.create_task(transaction())
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)
        return await asyncio.shield(task)


def check_url(url: str) -> str:
    """`url` with its asynchronous driver named. Raises SettingsError for one that cannot be used here; "" stays."""
    scheme, colon, rest = url.partition("://")
    if not url:
        return ""
    driver = {"postgresql": "asyncpg", "postgres": "asyncpg", "sqlite": "aiosqlite"}.get(scheme.partition("+")[0])
    if not colon or driver is None:
        raise SettingsError("database: write a URL such as postgresql://user@host/name, or sqlite:////path/tasks.db")
    if find_spec(driver) is None:
        raise SettingsError(f"database: {scheme} needs the package {driver}; install tts-hub[postgresql]")
    return f"{'sqlite' if driver == 'aiosqlite' else 'postgresql'}+{driver}://{rest}"


def sqlite_url(file: Path) -> str:
    """The URL of a database file. Raises OSError if its folder cannot be made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    return f"sqlite+aiosqlite:///{file}"


def _task(row: Mapping[str, Any]) -> Task:
    return Task(
        id=row["id"],
        kind=row["kind"],
        state=row["state"],
        progress=TaskProgress(done=row["done"], total=row["steps"], audio=round(row["audio"], 3)),
        created=row["created"],
        started=row["started"],
        finished=row["finished"],
        expires=row["expires"],
        error=msgspec.json.decode(row["error"]) if row["error"] else None,
        result=msgspec.json.decode(row["result"]) if row["result"] else None,
    )


_REASONS = (
    ("database or disk is full", "the disk is full; free some space"),
    ("readonly database", "it is read-only; check the permissions of the data folder"),
    ("unable to open database", "its file cannot be opened; check the permissions of the data folder"),
    ("not a database", "its file is damaged, or is none; restore it, or move it away"),
    ("malformed", "its file is damaged; restore it, or move it away"),
    ("locked", "another process keeps it locked"),
)


def _reason(error: Exception) -> str:
    said = str(getattr(error, "orig", error)).lower()
    return next((reason for sign, reason in _REASONS if sign in said), "the log has the cause")
