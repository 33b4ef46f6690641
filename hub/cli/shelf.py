"""Shelf: the voices that `ttshub voices` works on, those of this machine's data folder or of a running hub."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hub.cli.remote import RemoteHub
    from hub.cli.session import Session
    from hub.contract.voice import VoiceUpload
    from hub.service.hub import Hub

Voice = dict[str, Any]
"""A voice as `GET /v1/voices/{voice}` shows it."""


class Shelf(Protocol):
    """All methods raise HubError."""

    async def catalog(self, model: str | None) -> dict[str, Any]:
        """As `GET /v1/voices`."""
        ...

    async def get(self, id: str) -> Voice:
        """One voice."""
        ...

    async def add(self, upload: VoiceUpload) -> Voice:
        """Keep a new one."""
        ...

    async def rename(self, id: str, new_id: str) -> Voice:
        """Change its id."""
        ...

    async def remove(self, id: str) -> None:
        """Remove it."""
        ...

    async def recording(self, id: str, number: int) -> bytes:
        """The content of a recording's file."""
        ...


class LocalShelf:
    """This machine's data folder. Presets are not known here: no model is loaded for it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def catalog(self, model: str | None) -> dict[str, Any]:
        """See `Shelf`."""
        from hub.service.library.catalog import catalog

        chosen = self._hub.models.get(model) if model else None
        return _plain(await asyncio.to_thread(catalog, self._hub.models, self._hub.voices, chosen))

    async def get(self, id: str) -> Voice:
        """See `Shelf`."""
        from hub.service.library.catalog import view_of

        return _plain(await asyncio.to_thread(view_of, self._hub.models, self._hub.voices, id))

    async def add(self, upload: VoiceUpload) -> Voice:
        """See `Shelf`."""

        return await self.get((await self._hub.keep_voice(upload)).id)

    async def rename(self, id: str, new_id: str) -> Voice:
        """See `Shelf`."""
        return await self.get((await asyncio.to_thread(self._hub.voices.update, id, new_id=new_id)).id)

    async def remove(self, id: str) -> None:
        """See `Shelf`."""
        await asyncio.to_thread(self._hub.voices.delete, id)

    async def recording(self, id: str, number: int) -> bytes:
        """See `Shelf`."""
        return (await asyncio.to_thread(self._hub.voices.recording, id, number))[1]


class RemoteShelf:
    """A running hub."""

    def __init__(self, hub: RemoteHub) -> None:
        self._hub = hub

    async def catalog(self, model: str | None) -> dict[str, Any]:
        """See `Shelf`."""
        query = f"?model={quote(model, safe='')}" if model else ""
        return dict(await self._hub.get(f"/v1/voices{query}"))

    async def get(self, id: str) -> Voice:
        """See `Shelf`."""
        return dict(await self._hub.get(_path(id)))

    async def add(self, upload: VoiceUpload) -> Voice:
        """See `Shelf`."""
        return dict(await self._hub.call("POST", "/v1/voices", upload))

    async def rename(self, id: str, new_id: str) -> Voice:
        """See `Shelf`."""
        return dict(await self._hub.call("PATCH", _path(id), {"id": new_id}))

    async def remove(self, id: str) -> None:
        """See `Shelf`."""
        await self._hub.call("DELETE", _path(id))

    async def recording(self, id: str, number: int) -> bytes:
        """See `Shelf`."""
        async with self._hub.open(f"{_path(id)}/audio?recording={number}") as response:
            return await response.aread()


@asynccontextmanager
async def open_shelf(session: Session, url: str | None, api_key: str | None) -> AsyncIterator[Shelf]:
    """The voices of the hub at `url`, else of this machine."""
    if url:
        from hub.cli.remote import RemoteHub

        async with RemoteHub(url, api_key) as remote:
            yield RemoteShelf(remote)
    else:
        from hub.service.hub import Hub

        settings = session.settings()
        yield LocalShelf(Hub.build(settings, session.plugins(settings)))


def _path(id: str) -> str:
    return f"/v1/voices/{quote(id, safe='')}"


def _plain(value: Any) -> dict[str, Any]:
    return dict(msgspec.to_builtins(value))
