"""`ttshub scenes`: the scenes that requests name, of this machine or of a running hub."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote

import click

from hub.cli.report import echo_json, echo_table, plain
from hub.cli.session import Session, json_option, session_options, url_options

if TYPE_CHECKING:
    from hub.cli.remote import RemoteHub
    from hub.contract.scene import Scene
    from hub.service.library.scenes import SceneStore

Function = TypeVar("Function", bound=Callable[..., Any])


class Shelf(Protocol):
    """The scenes of a hub. All methods raise HubError."""

    async def all(self) -> list[Scene]:
        """Return every scene."""
        ...

    async def put(self, scene: Scene) -> None:
        """Store a scene."""
        ...

    async def remove(self, id: str) -> None:
        """Remove a scene."""
        ...


class LocalShelf:
    """The scenes of this machine's data folder."""

    def __init__(self, store: SceneStore) -> None:
        self._store = store

    async def all(self) -> list[Scene]:
        """Implement `Shelf.all`."""
        return [*await asyncio.to_thread(self._store.list)]

    async def put(self, scene: Scene) -> None:
        """Implement `Shelf.put`."""
        await asyncio.to_thread(self._store.put, scene)

    async def remove(self, id: str) -> None:
        """Implement `Shelf.remove`."""
        await asyncio.to_thread(self._store.delete, id)


class RemoteShelf:
    """The scenes of a running hub."""

    def __init__(self, hub: RemoteHub) -> None:
        self._hub = hub

    async def all(self) -> list[Scene]:
        """Implement `Shelf.all`."""
        import msgspec

        from hub.contract.scene import Scene

        return msgspec.convert((await self._hub.get("/v1/scenes"))["scenes"], list[Scene])

    async def put(self, scene: Scene) -> None:
        """Implement `Shelf.put`."""
        body = {"text": scene.text, "cast": scene.cast, "defaults": scene.defaults}
        await self._hub.call("PUT", f"/v1/scenes/{quote(scene.id, safe='')}", body)

    async def remove(self, id: str) -> None:
        """Implement `Shelf.remove`."""
        await self._hub.call("DELETE", f"/v1/scenes/{quote(id, safe='')}")


@asynccontextmanager
async def open_shelf(session: Session, url: str | None, api_key: str | None) -> AsyncIterator[Shelf]:
    """Open the scenes of the hub at `url`, else of this machine."""
    if url:
        from hub.cli.remote import RemoteHub

        async with RemoteHub(url, api_key) as remote:
            yield RemoteShelf(remote)
    else:
        from hub.service.hub import Hub

        settings = session.settings()
        yield LocalShelf(Hub.build(settings, session.plugins(settings)).scenes)


@click.group()
@session_options
def scenes() -> None:
    """List, import and remove scenes.

    A scene is a description, a cast and defaults that requests name. The scenes are those
    in the data folder of this machine; with --url, those of a running hub.
    """


def _command(name: str) -> Callable[[Function], Any]:
    """Register a command of the group, with the options that all of them take."""

    def decorate(function: Function) -> Any:
        return scenes.command(name)(session_options(url_options(json_option(click.pass_obj(function)))))

    return decorate


def _run(session: Session, url: str | None, api_key: str | None, work: Callable[[Shelf], Any]) -> Any:
    async def run() -> Any:
        async with open_shelf(session, url, api_key) as shelf:
            return await work(shelf)

    return session.run(run())


@_command("list")
def list_scenes(session: Session, url: str | None, api_key: str | None, as_json: bool) -> None:
    """List all scenes: stored, from configured folders, and from plugins."""
    found = _run(session, url, api_key, lambda shelf: shelf.all())
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

    async def work(shelf: Shelf) -> list[dict[str, str]]:
        taken = {scene.id for scene in await shelf.all()}
        rows = []
        for name, found in scenes_in(folder):
            problem = found if isinstance(found, str) else TAKEN if found.id in taken and not replace else ""
            if not isinstance(found, str) and not problem:
                await shelf.put(found)
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

    async def work(shelf: Shelf) -> None:
        for id in ids:
            await shelf.remove(id)

    _run(session, url, api_key, work)
    if as_json:
        echo_json({"removed": ids})
