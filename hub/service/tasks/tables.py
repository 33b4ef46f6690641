"""The tables of the store and the statements on them, for both SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

__all__ = ["DBAPIError", "IntegrityError", "metadata", "open_engine"]

VERSION = 1
"""Version of the tables below. A hub refuses a database of a newer version."""

metadata = sa.MetaData()

_about = sa.Table("about", metadata, sa.Column("version", sa.Integer, primary_key=True))

_tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False, index=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("steps", sa.Integer, nullable=False),
    sa.Column("done", sa.Integer, nullable=False, default=0),
    sa.Column("audio", sa.Double, nullable=False, default=0.0),
    sa.Column("created", sa.Double, nullable=False, index=True),
    sa.Column("started", sa.Double),
    sa.Column("finished", sa.Double),
    sa.Column("expires", sa.Double, index=True),
    sa.Column("error", sa.Text),
    sa.Column("result", sa.Text),
    sa.Column("job", sa.LargeBinary, nullable=False),
)

_steps = sa.Table(
    "steps",
    metadata,
    sa.Column("task", sa.Text, sa.ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("record", sa.LargeBinary, nullable=False),
)

_UNFINISHED = _tasks.c.state.in_(("pending", "processing"))
_SHOWN = [column for column in _tasks.c if column.name != "job"]  # a job may be megabytes


def open_engine(url: str) -> AsyncEngine:
    """Create an engine, without connecting."""
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


async def create(connection: AsyncConnection) -> None:
    """Create the missing tables. Raises OSError if the tables are of a newer version."""
    await connection.run_sync(metadata.create_all)
    version = (await connection.execute(sa.select(sa.func.max(_about.c.version)))).scalar()
    if version is None:
        await connection.execute(sa.insert(_about).values(version=VERSION))
    elif version > VERSION:
        raise OSError(f"the tables have version {version}, this hub supports {VERSION}")


async def add(connection: AsyncConnection, values: dict[str, Any]) -> None:
    """Insert a row."""
    await connection.execute(sa.insert(_tasks).values(**values, state="pending"))


async def get(connection: AsyncConnection, id: str) -> dict[str, Any] | None:
    """Return one row, without its job, or None."""
    row = (await connection.execute(sa.select(*_SHOWN).where(_tasks.c.id == id))).mappings().first()
    return None if row is None else dict(row)


async def job(connection: AsyncConnection, id: str) -> tuple[str, bytes, str] | None:
    """Return kind, job and owner, or None."""
    query = sa.select(_tasks.c.kind, _tasks.c.job, _tasks.c.owner).where(_tasks.c.id == id)
    row = (await connection.execute(query)).first()
    return None if row is None else (row[0], row[1], row[2])


async def page(
    connection: AsyncConnection, owner: str | None, state: str | None, kind: str | None, before: str | None, limit: int
) -> list[dict[str, Any]]:
    """Return rows, newest first."""
    query = sa.select(*_SHOWN).order_by(_tasks.c.created.desc(), _tasks.c.id.desc()).limit(limit)
    for column, value in ((_tasks.c.owner, owner), (_tasks.c.state, state), (_tasks.c.kind, kind)):
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        last = sa.select(_tasks.c.created).where(_tasks.c.id == before).scalar_subquery()
        query = query.where((_tasks.c.created < last) | ((_tasks.c.created == last) & (_tasks.c.id < before)))
    return [dict(row) for row in (await connection.execute(query)).mappings()]


async def unfinished(connection: AsyncConnection) -> list[str]:
    """Return the ids of unfinished tasks, oldest first."""
    query = sa.select(_tasks.c.id).where(_UNFINISHED).order_by(_tasks.c.created, _tasks.c.id)
    return list((await connection.execute(query)).scalars())


async def started(connection: AsyncConnection, id: str, at: float) -> bool:
    """Set an unfinished task to processing; return False if there is none."""
    values = {"state": "processing", "started": sa.func.coalesce(_tasks.c.started, at)}
    done = await connection.execute(sa.update(_tasks).where(_tasks.c.id == id, _UNFINISHED).values(**values))
    return done.rowcount > 0


async def ended(connection: AsyncConnection, id: str, values: dict[str, Any]) -> bool:
    """End an unfinished task and delete its steps; return False if there is none."""
    done = await connection.execute(sa.update(_tasks).where(_tasks.c.id == id, _UNFINISHED).values(**values))
    if done.rowcount > 0:
        await connection.execute(sa.delete(_steps).where(_steps.c.task == id))
    return done.rowcount > 0


async def steps(connection: AsyncConnection, id: str) -> dict[int, bytes]:
    """Return the records of all finished steps, by number."""
    rows = await connection.execute(sa.select(_steps.c.number, _steps.c.record).where(_steps.c.task == id))
    return {row[0]: row[1] for row in rows}


async def finish_step(connection: AsyncConnection, id: str, number: int, record: bytes, audio: float) -> None:
    """Insert a step's row and update the task's counts; for a repeated step replace only its record."""
    known = sa.select(_steps.c.number).where(_steps.c.task == id, _steps.c.number == number)
    if (await connection.execute(known)).first() is not None:
        change = sa.update(_steps).where(_steps.c.task == id, _steps.c.number == number).values(record=record)
        await connection.execute(change)
        return
    await connection.execute(sa.insert(_steps).values(task=id, number=number, record=record))
    counts = {"done": _tasks.c.done + 1, "audio": _tasks.c.audio + audio}
    await connection.execute(sa.update(_tasks).where(_tasks.c.id == id).values(**counts))


async def delete_task(connection: AsyncConnection, id: str) -> None:
    """Delete a task's row and its steps."""
    await connection.execute(sa.delete(_steps).where(_steps.c.task == id))
    await connection.execute(sa.delete(_tasks).where(_tasks.c.id == id))


async def expired(connection: AsyncConnection, now: float) -> tuple[list[str], float | None]:
    """Return the ids of expired tasks, and the next time of expiry."""
    over = await connection.execute(sa.select(_tasks.c.id).where(_tasks.c.expires <= now))
    later = await connection.execute(sa.select(sa.func.min(_tasks.c.expires)).where(_tasks.c.expires > now))
    return list(over.scalars()), later.scalar()
