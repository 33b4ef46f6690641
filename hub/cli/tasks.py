"""`ttshub tasks`: the tasks of a running hub."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from hub.cli.report import echo_json, echo_table, plain
from hub.cli.session import Session, json_option, session_options, url_options

if TYPE_CHECKING:
    from hub.cli.jobs import RemoteJobs
    from hub.contract.task import Task

STATES = ("pending", "processing", "completed", "failed", "cancelled")

T = TypeVar("T")


@click.group()
@session_options
def tasks() -> None:
    """List, watch, cancel and fetch the long jobs of a running hub.

    The hub is the one at --url, else the one that the settings describe.
    """


@tasks.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only tasks in this state")
@click.option("--kind", help="Only tasks of this kind, such as speech")
@click.option(
    "-n", "--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="At most this many tasks"
)
@url_options
@json_option
@session_options
@click.pass_obj
def list_tasks(
    session: Session,
    state: str | None,
    kind: str | None,
    limit: int,
    url: str | None,
    api_key: str | None,
    as_json: bool,
) -> None:
    """List the tasks, newest first."""
    found = _ask(session, url, api_key, lambda jobs: jobs.page(limit, state=state, kind=kind))
    if as_json:
        echo_json(found)
        return
    columns = ("id", "kind", "state", "done", "audio", "age", "error")
    echo_table(columns, ([plain(cell) for cell in _cells(task)] for task in found))


@tasks.command()
@click.argument("ids", nargs=-1)
@url_options
@session_options
@click.pass_obj
def watch(session: Session, ids: tuple[str, ...], url: str | None, api_key: str | None) -> None:
    """Show the progress of tasks until they have ended.

    Shows the tasks IDS, else all unfinished ones. Exits with code 1 if one failed or was
    cancelled.
    """
    ended = _ask(session, url, api_key, lambda jobs: _watch(jobs, ids))
    if any(task.state != "completed" for task in ended):
        click.get_current_context().exit(1)


@tasks.command()
@click.argument("ids", nargs=-1, required=True)
@url_options
@session_options
@click.pass_obj
def cancel(session: Session, ids: tuple[str, ...], url: str | None, api_key: str | None) -> None:
    """Stop tasks."""

    async def stop(jobs: RemoteJobs) -> None:
        for id in ids:
            task = await jobs.cancel(id)
            click.echo(f"{task.id}: {task.state}")

    _ask(session, url, api_key, stop)


@tasks.command()
@click.argument("ids", nargs=-1, required=True)
@url_options
@session_options
@click.pass_obj
def delete(session: Session, ids: tuple[str, ...], url: str | None, api_key: str | None) -> None:
    """Stop tasks, and delete them with their results."""

    async def forget(jobs: RemoteJobs) -> None:
        for id in ids:
            await jobs.delete(id)

    _ask(session, url, api_key, forget)


@tasks.command()
@click.argument("id")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write")
@click.option("--item", type=click.IntRange(1), help="Which item [default: the only one, or a ZIP of all]")
@click.option("--subtitles", type=click.Choice(("srt", "vtt")), help="Its subtitles instead of its audio")
@url_options
@session_options
@click.pass_obj
def result(
    session: Session, id: str, out: Path, item: int | None, subtitles: str | None, url: str | None, api_key: str | None
) -> None:
    """Fetch the result of a task."""
    _ask(session, url, api_key, lambda jobs: jobs.fetch(id, out.name, out, item=item, subtitles=subtitles))
    click.echo(str(out), err=True)


def _ask(session: Session, url: str | None, api_key: str | None, work: Callable[[RemoteJobs], Awaitable[T]]) -> T:
    from hub.cli.jobs import RemoteJobs

    if not url:
        server = session.settings().server
        url = f"http://[{server.host}]:{server.port}" if ":" in server.host else f"http://{server.host}:{server.port}"

    async def ask(url: str) -> T:
        async with RemoteJobs(url, api_key) as jobs:
            return await work(jobs)

    return session.run(ask(url))


async def _watch(jobs: RemoteJobs, ids: tuple[str, ...]) -> list[Task]:
    from hub.cli.bars import Bars

    if not ids:
        unfinished = [*await jobs.page(500, state="processing"), *await jobs.page(500, state="pending")]
        ids = tuple(task.id for task in sorted(unfinished, key=lambda task: task.created))
    ended: dict[str, Task] = {}

    async def follow(id: str, bars: Bars) -> None:
        async for task in jobs.watch(id):
            bars.show(id, task)
            ended[id] = task

    for id in ids:
        await jobs.get(id)  # an unknown id is reported before anything is shown
    with Bars() as bars:
        await asyncio.gather(*(follow(id, bars) for id in ids))
    return list(ended.values())


def _cells(task: Task) -> list[str]:
    progress = task.progress
    return [
        task.id,
        task.kind,
        task.state,
        f"{progress.done}/{progress.total}",
        f"{progress.audio:.0f} s",
        _age(time.time() - task.created),
        str((task.error or {}).get("message", "")),
    ]


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
