"""`/v1/references/...`: the stored voices that a model of the family can use."""

from __future__ import annotations

import asyncio
import re

from litestar import Request, Response, delete, get, post
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from hub.api.family import model_of
from hub.contract.errors import Conflict, HubError, InvalidRequest, UnknownVoice
from hub.contract.voice import RecordingUpload, StoredVoice, VoiceUpload
from hub.plugin.host import Host
from hub_fish_speech.options import RouteOptions
from hub_fish_speech.routes.answers import answer, failed
from hub_fish_speech.routes.shapes import (
    AddBody,
    AllReferences,
    DeleteBody,
    OneReference,
    RenamedReference,
    UpdateBody,
    read_body,
)

_ID = re.compile(r"[a-zA-Z0-9\-_ ]{1,255}").fullmatch


def routes(hub: Host, options: RouteOptions) -> list[HTTPRouteHandler]:
    """The handlers."""
    return [*_keeping(hub, options), *_changing(hub)]


def _keeping(hub: Host, options: RouteOptions) -> list[HTTPRouteHandler]:
    """Add a voice, and list all of them."""

    @post("/v1/references/add", status_code=200, summary="Store a reference voice")
    async def add(request: Request) -> Response:
        """A form with `id`, `audio` (a file) and `text`; JSON (base64) and msgpack too."""
        body = await read_body(request, AddBody)
        try:
            await _add(hub, body)
        except HubError as error:
            return failed(request, error, OneReference(success=False, message=error.message, reference_id=body.id))
        message = f"Reference voice '{body.id}' added successfully"
        return answer(request, OneReference(success=True, message=message, reference_id=body.id))

    @get("/v1/references/list", summary="List the ids of all reference voices")
    async def list_all(request: Request) -> Response:
        """The voices that a model of the family can use."""
        ids = [voice.id for voice in await asyncio.to_thread(usable_voices, hub, options.backend)]
        message = f"Found {len(ids)} reference voices"
        return answer(request, AllReferences(success=True, message=message, reference_ids=ids))

    return [add, list_all]


def _changing(hub: Host) -> list[HTTPRouteHandler]:
    """Remove and rename a voice."""

    @delete("/v1/references/delete", status_code=200, summary="Remove a reference voice")
    async def remove(request: Request) -> Response:
        """The id is in the body."""
        id = (await read_body(request, DeleteBody)).reference_id
        try:
            _check_given("Reference ID", id)
            await asyncio.to_thread(hub.voices.delete, id)
        except HubError as error:
            return failed(
                request, _named(error, id), OneReference(success=False, message=error.message, reference_id=id)
            )
        message = f"Reference voice '{id}' deleted successfully"
        return answer(request, OneReference(success=True, message=message, reference_id=id))

    @post("/v1/references/update", status_code=200, summary="Rename a reference voice")
    async def update(request: Request) -> Response:
        """Change its id only."""
        body = await read_body(request, UpdateBody)
        old, new = body.old_reference_id, body.new_reference_id

        def renamed(success: bool, message: str) -> Struct:
            return RenamedReference(success=success, message=message, old_reference_id=old, new_reference_id=new)

        try:
            await _rename(hub, old, new)
        except HubError as error:
            return failed(request, error, renamed(False, error.message))
        return answer(request, renamed(True, f"Reference voice renamed from '{old}' to '{new}' successfully"))

    return [remove, update]


def usable_voices(hub: Host, backend: str) -> list[StoredVoice]:
    """The stored voices that the family's model can use. Reads files: call it in a thread."""
    model = model_of(hub, backend)
    return [voice for voice in hub.voices.list() if hub.voices.fit(voice, model.name, model.capabilities).usable]


async def _add(hub: Host, body: AddBody) -> None:
    _check_given("Reference ID", body.id)
    _check_given("Reference text", body.text)
    _check_id("Reference ID", body.id)
    if not body.audio:
        raise InvalidRequest("Audio file is empty or could not be read", field="audio")
    upload = VoiceUpload(id=body.id, recordings=(RecordingUpload(audio=body.audio, text=body.text),))
    try:
        await hub.keep_voice(upload)
    except Conflict as error:
        raise _named(error, body.id) from error


async def _rename(hub: Host, old: str, new: str) -> None:
    _check_given("Old reference ID", old)
    _check_given("New reference ID", new)
    if old == new:
        raise InvalidRequest("New reference ID must be different from old reference ID", field="new_reference_id")
    _check_id("New reference ID", new)
    voice = await _stored(hub, old)
    try:
        await asyncio.to_thread(hub.voices.update, voice, new_id=new)
    except Conflict as error:
        raise _named(error, new) from error


async def _stored(hub: Host, id: str) -> str:
    try:
        return (await asyncio.to_thread(hub.voices.get, id)).id
    except UnknownVoice as error:
        raise _named(error, id) from error


def _check_given(name: str, value: str) -> None:
    if not value.strip():
        raise InvalidRequest(f"{name} cannot be empty")


def _check_id(name: str, id: str) -> None:
    if _ID(id) is None:
        raise InvalidRequest(
            f"{name} contains invalid characters or is too long: 1 to 255 letters, digits, hyphens, underscores, spaces"
        )


def _named(error: HubError, id: str) -> HubError:
    """Return the error with the API's own message for an id that is taken or unknown, unless the voice is read-only."""
    if isinstance(error, UnknownVoice):
        error.message = f"Reference ID '{id}' not found"
    elif isinstance(error, Conflict) and "voice_folders" not in error.message:
        error.message = f"Reference ID '{id}' already exists"
    return error
