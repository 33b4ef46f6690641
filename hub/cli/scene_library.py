"""The scenes that `ttshub scenes` works on: of this machine's data folder, or of a running hub."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hub.cli.remote import RemoteHub
    from hub.cli.session import Session
    from hub.contract.scene import Scene
    from hub.service.library.scenes import SceneStore


class Scenes(Protocol):
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


class LocalScenes:
    """The scenes of this machine's data folder."""

    def __init__(self, store: SceneStore) -> None:
        self._store = store

    async def all(self) -> list[Scene]:
        """Implement `Scenes.all`."""
        return [*await asyncio.to_thread(self._store.list)]

    async def put(self, scene: Scene) -> None:
        """Implement `Scenes.put`."""
        await asyncio.to_thread(self._store.put, scene)

    async def remove(self, id: str) -> None:
        """Implement `Scenes.remove`."""
        await asyncio.to_thread(self._store.delete, id)


class RemoteScenes:
    """The scenes of a running hub."""

    def __init__(self, hub: RemoteHub) -> None:
        self._hub = hub

    async def all(self) -> list[Scene]:
        """Implement `Scenes.all`."""
        import msgspec

        from hub.contract.scene import Scene

        return msgspec.convert((await self._hub.get("/v1/scenes"))["scenes"], list[Scene])

    async def put(self, scene: Scene) -> None:
        """Implement `Scenes.put`."""
        body = {"text": scene.text, "cast": scene.cast, "defaults": scene.defaults}
        await self._hub.call("PUT", f"/v1/scenes/{quote(scene.id, safe='')}", body)

    async def remove(self, id: str) -> None:
        """Implement `Scenes.remove`."""
        await self._hub.call("DELETE", f"/v1/scenes/{quote(id, safe='')}")


@asynccontextmanager
async def open_scenes(session: Session, url: str | None, api_key: str | None) -> AsyncIterator[Scenes]:
    """Open the scenes of the hub at `url`, else of this machine."""
    if url:
        from hub.cli.remote import RemoteHub

        async with RemoteHub(url, api_key) as remote:
            yield RemoteScenes(remote)
    else:
        from hub.service.hub import Hub

        settings = session.settings()
        yield LocalScenes(Hub.build(settings, session.plugins(settings)).scenes)
