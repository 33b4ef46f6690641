"""The voices that `ttshub voices` works on: of this machine's data folder, or of a running hub."""

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


class Voices(Protocol):
    """The voices of a hub. All methods raise HubError."""

    async def catalog(self, model: str | None) -> dict[str, Any]:
        """Return the catalog, as `GET /v1/voices` does."""
        ...

    async def get(self, id: str) -> Voice:
        """Return a voice."""
        ...

    async def add(self, upload: VoiceUpload) -> Voice:
        """Store a new voice."""
        ...

    async def rename(self, id: str, new_id: str) -> Voice:
        """Change the id of a voice."""
        ...

    async def remove(self, id: str) -> None:
        """Remove a voice."""
        ...

    async def recording(self, id: str, number: int) -> bytes:
        """Return the content of a recording's file."""
        ...


class LocalVoices:
    """The voices of this machine's data folder, without presets: no model is loaded to list them."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def catalog(self, model: str | None) -> dict[str, Any]:
        """Implement `Voices.catalog`."""
        from hub.service.library.catalog import catalog

        chosen = self._hub.models.get(model) if model else None
        return _plain(await asyncio.to_thread(catalog, self._hub.models, self._hub.voices, chosen))

    async def get(self, id: str) -> Voice:
        """Implement `Voices.get`."""
        from hub.service.library.catalog import view_of

        return _plain(await asyncio.to_thread(view_of, self._hub.models, self._hub.voices, id))

    async def add(self, upload: VoiceUpload) -> Voice:
        """Implement `Voices.add`."""
        return await self.get((await self._hub.keep_voice(upload)).id)

    async def rename(self, id: str, new_id: str) -> Voice:
        """Implement `Voices.rename`."""
        return await self.get((await asyncio.to_thread(self._hub.voices.update, id, new_id=new_id)).id)

    async def remove(self, id: str) -> None:
        """Implement `Voices.remove`."""
        await asyncio.to_thread(self._hub.voices.delete, id)

    async def recording(self, id: str, number: int) -> bytes:
        """Implement `Voices.recording`."""
        return (await asyncio.to_thread(self._hub.voices.recording, id, number))[1]


class RemoteVoices:
    """The voices of a running hub."""

    def __init__(self, hub: RemoteHub) -> None:
        self._hub = hub

    async def catalog(self, model: str | None) -> dict[str, Any]:
        """Implement `Voices.catalog`."""
        query = f"?model={quote(model, safe='')}" if model else ""
        return dict(await self._hub.get(f"/v1/voices{query}"))

    async def get(self, id: str) -> Voice:
        """Implement `Voices.get`."""
        return dict(await self._hub.get(_path(id)))

    async def add(self, upload: VoiceUpload) -> Voice:
        """Implement `Voices.add`."""
        return dict(await self._hub.call("POST", "/v1/voices", upload))

    async def rename(self, id: str, new_id: str) -> Voice:
        """Implement `Voices.rename`."""
        return dict(await self._hub.call("PATCH", _path(id), {"id": new_id}))

    async def remove(self, id: str) -> None:
        """Implement `Voices.remove`."""
        await self._hub.call("DELETE", _path(id))

    async def recording(self, id: str, number: int) -> bytes:
        """Implement `Voices.recording`."""
        async with self._hub.open(f"{_path(id)}/audio?recording={number}") as response:
            return await response.aread()


@asynccontextmanager
async def open_voices(session: Session, url: str | None, api_key: str | None) -> AsyncIterator[Voices]:
    """Open the voices of the hub at `url`, else of this machine."""
    if url:
        from hub.cli.remote import RemoteHub

        async with RemoteHub(url, api_key) as remote:
            yield RemoteVoices(remote)
    else:
        from hub.service.hub import Hub

        settings = session.settings()
        yield LocalVoices(Hub.build(settings, session.plugins(settings)))


def _path(id: str) -> str:
    return f"/v1/voices/{quote(id, safe='')}"


def _plain(value: Any) -> dict[str, Any]:
    return dict(msgspec.to_builtins(value))
