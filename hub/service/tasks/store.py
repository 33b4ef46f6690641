"""Store: tasks and their finished steps in a database, SQLite or the one of a URL.

SQLAlchemy is imported when a store is opened, not before: a hub without tasks needs no database. Every write is one
transaction and is on the disk (`synchronous=FULL`) when its method returns. If a caller is cancelled meanwhile, its
write is either complete or absent.
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
    """A new task for the store. `digest` is of the body; `owner` is the name of the caller's key."""

    id: str
    kind: str
    digest: str
    owner: str
    job: bytes
    steps: int
    created: float


class Exists(Exception):
    """The store already has a task of this id."""


class Store:
    """The tasks of one hub. Every method raises StorageFailed if the database cannot be read or written."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's, with an asynchronous driver; see `sqlite_url` and `hub.settings`."""
        from hub.service.tasks import tables

        self._tables = tables
        self._engine = tables.open_engine(url)
        self._turn = asyncio.Lock()  # one writer at a time: SQLite allows no more, and so the waits are fair
        self._at_work: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Create the missing tables."""
        await self._run(self._tables.create)

    async def close(self) -> None:
        """Wait for the writes under way, then close."""
        while self._at_work:
            await asyncio.wait(self._at_work)
        await self._engine.dispose()

    async def add(self, task: Accepted) -> None:
        """Store a new task. Raises Exists."""
        await self._run(lambda connection: self._tables.add(connection, msgspec.structs.asdict(task)))

    async def get(self, id: str) -> Task | None:
        """Return the task of this id, or None."""
        row = await self._run(lambda connection: self._tables.get(connection, id))
        return None if row is None else _task(row)

    async def identity(self, id: str) -> tuple[str, str] | None:
        """Return the digest and owner of a task, or None."""
        row = await self._run(lambda connection: self._tables.get(connection, id))
        return None if row is None else (row["digest"], row["owner"])

    async def job(self, id: str) -> tuple[str, bytes, str] | None:
        """Return the kind, job and owner of a task, or None."""
        return await self._run(lambda connection: self._tables.job(connection, id))

    async def page(
        self, *, owner: str | None, state: str | None, kind: str | None, before: str | None, limit: int
    ) -> list[Task]:
        """Return at most `limit` tasks, newest first; with `before`, only those older than that task."""
        rows = await self._run(lambda connection: self._tables.page(connection, owner, state, kind, before, limit))
        return [_task(row) for row in rows]

    async def unfinished(self) -> list[str]:
        """Return the ids of all pending and processing tasks, oldest first."""
        return await self._run(lambda connection: self._tables.unfinished(connection))

    async def started(self, id: str, at: float) -> bool:
        """Record that a task is processing; return False if it has ended or is gone. A restart keeps the start time."""
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
        """Record that an unfinished task ends in `state`; return False if it has already ended or is gone."""
        values = {
            "state": state,
            "finished": at,
            "expires": expires,
            "error": error and msgspec.json.encode(error).decode(),
            "result": result and msgspec.json.encode(result).decode(),
        }
        return await self._run(lambda connection: self._tables.ended(connection, id, values))

    async def steps(self, id: str) -> Mapping[int, bytes]:
        """Return the records of a task's finished steps, by number."""
        return await self._run(lambda connection: self._tables.steps(connection, id))

    async def finish_step(self, id: str, number: int, record: bytes, audio: float) -> None:
        """Store a step's record and count it in the task's progress, in one transaction; count a repeated step once."""
        await self._run(lambda connection: self._tables.finish_step(connection, id, number, record, audio))

    async def delete(self, id: str) -> None:
        """Delete a task and its steps."""
        await self._run(lambda connection: self._tables.delete_task(connection, id))

    async def expired(self, now: float) -> tuple[list[str], float | None]:
        """Return the ids of the expired tasks, and the time at which the next one expires."""
        return await self._run(lambda connection: self._tables.expired(connection, now))

    async def _run(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Run `work` in a transaction, in a task of its own, so that a cancelled caller does not interrupt it."""

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
    """Return `url` with the name of its asynchronous driver; "" stays. Raises SettingsError for an unusable URL."""
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
    """Create the folder of a database file; return its URL. Raises OSError."""
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
    ("not a database", "its file is damaged or not a database; restore it, or move it away"),
    ("malformed", "its file is damaged; restore it, or move it away"),
    ("locked", "another process has locked it"),
)


def _reason(error: Exception) -> str:
    said = str(getattr(error, "orig", error)).lower()
    return next((reason for sign, reason in _REASONS if sign in said), "the log has the cause")
