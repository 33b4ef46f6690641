"""`ttshub scenes`: the scenes that requests name, of this machine or of a running hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub.cli.report import echo_json, echo_table, plain
from hub.cli.session import Session, library_command, session_options

if TYPE_CHECKING:
    from hub.cli.scene_library import Scenes


@click.group()
@session_options
def scenes() -> None:
    """List, import and remove scenes.

    A scene is a description, a cast and defaults that requests name. The scenes are those
    in the data folder of this machine; with --url, those of a running hub.
    """


_command = library_command(scenes)


def _run(session: Session, url: str | None, api_key: str | None, work: Callable[[Scenes], Any]) -> Any:
    """Run `work`, a coroutine function, on the scenes; return its result."""
    from hub.cli.scene_library import open_scenes

    async def run() -> Any:
        async with open_scenes(session, url, api_key) as library:
            return await work(library)

    return session.run(run())


@_command("list")
def list_scenes(session: Session, url: str | None, api_key: str | None, as_json: bool) -> None:
    """List all scenes: stored, from configured folders, and from plugins."""
    found = _run(session, url, api_key, lambda library: library.all())
    if as_json:
        echo_json({"scenes": found})
        return
    rows = ((plain(one.id), plain(", ".join(one.cast)), ", ".join(one.defaults), plain(one.text)) for one in found)
    echo_table(("scene", "cast", "defaults", "text"), rows)


@_command("import")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Replace scenes whose id is taken")
def import_scenes(
    session: Session, url: str | None, api_key: str | None, as_json: bool, folder: Path, replace: bool
) -> None:
    """Store the scenes in FOLDER: *.txt, as Higgs Audio's scene_prompts, and *.json."""
    from hub.service.library.scenes import TAKEN, scenes_in

    async def work(library: Scenes) -> list[dict[str, str]]:
        taken = {scene.id for scene in await library.all()}
        rows = []
        for name, found in scenes_in(folder):
            problem = found if isinstance(found, str) else TAKEN if found.id in taken and not replace else ""
            if not isinstance(found, str) and not problem:
                await library.put(found)
            outcome = "kept" if not problem else "skipped" if problem == TAKEN else "failed"
            rows.append({"file": name, "outcome": outcome, "why": problem})
        return rows

    rows = _run(session, url, api_key, work)
    if as_json:
        echo_json(rows)
    else:
        echo_table(("file", "outcome", "why"), ([plain(cell) for cell in row.values()] for row in rows))
    if any(row["outcome"] == "failed" for row in rows):
        raise click.exceptions.Exit(1)


@_command("remove")
@click.argument("ids", nargs=-1, required=True)
def remove(session: Session, url: str | None, api_key: str | None, as_json: bool, ids: tuple[str, ...]) -> None:
    """Remove stored scenes."""

    async def work(library: Scenes) -> None:
        for id in ids:
            await library.remove(id)

    _run(session, url, api_key, work)
    if as_json:
        echo_json({"removed": ids})
