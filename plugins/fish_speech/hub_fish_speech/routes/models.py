"""`/model`: the stored voices, which the vendor's SDK calls models."""

from __future__ import annotations

import asyncio
import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

from litestar import Request, Response, delete, get, patch, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from msgspec import Meta, Struct

from hub.api.http.fields import as_struct, query_fields, read_fields
from hub.contract.errors import InvalidRequest, NotFound, UnknownVoice
from hub.contract.voice import Note, RecordingUpload, StoredVoice, Tags, Title, VoiceUpload
from hub.plugin.host import Host
from hub_fish_speech.options import RouteOptions
from hub_fish_speech.routes.answers import answer
from hub_fish_speech.routes.references import usable_voices


class ListQuery(Struct, kw_only=True):
    """Filters of the list."""

    page_size: Annotated[int, Meta(ge=1, le=1000)] = 10
    page_number: Annotated[int, Meta(ge=1)] = 1
    title: str | None = None
    tag: list[str] = []
    language: list[str] = []


class NewModel(Struct, kw_only=True):
    """A new voice: files with their texts."""

    title: Title
    voices: Annotated[list[bytes], Meta(min_length=1)]
    texts: list[str] = []
    description: Note = ""
    tags: Tags = ()


class ChangedModel(Struct, kw_only=True):
    """Changes of a voice. A field that is None stays as it is."""

    title: Title | None = None
    description: Note | None = None
    tags: Tags | None = None


def routes(hub: Host, options: RouteOptions) -> list[HTTPRouteHandler]:
    """The handlers."""
    return [*_reading(hub, options), *_writing(hub)]


def _reading(hub: Host, options: RouteOptions) -> list[HTTPRouteHandler]:

    @get("/model", summary="List the voices, as the vendor's SDK lists models")
    async def list_models(request: Request) -> Response:
        """Returns the stored voices that a model of the family can use, the last changed first."""
        wanted = as_struct(query_fields(request), ListQuery, where="query")
        found = [one for one in await asyncio.to_thread(usable_voices, hub, options.backend) if _fits(one, wanted)]
        found.sort(key=lambda voice: -voice.updated)
        begin = (wanted.page_number - 1) * wanted.page_size
        items = [model_entity(voice) for voice in found[begin : begin + wanted.page_size]]
        return answer(request, {"total": len(found), "items": items})

    @get("/model/{model_id:str}", summary="Get a voice")
    async def get_model(model_id: FromPath[str], request: Request) -> Response:
        """Returns the voice as the list shows it."""
        return answer(request, model_entity(await _voice(hub, model_id)))

    return [list_models, get_model]


def _writing(hub: Host) -> list[HTTPRouteHandler]:
    @post("/model", status_code=201, summary="Store a voice, as the vendor's SDK creates a model")
    async def create_model(request: Request) -> Response:
        """A form with `title`, `voices` (files) and `texts`. The id is made from the title."""
        wanted = as_struct(await read_fields(request), NewModel)
        if len(wanted.texts) not in (0, len(wanted.voices)):
            raise InvalidRequest(f"there are {len(wanted.voices)} voices and {len(wanted.texts)} texts: give as many")
        texts: list[Any] = wanted.texts or [None] * len(wanted.voices)
        pairs = zip(wanted.voices, texts, strict=True)
        upload = VoiceUpload(
            id=f"{_slug(wanted.title)}-{secrets.token_hex(4)}",
            name=wanted.title,
            description=wanted.description,
            tags=wanted.tags,
            recordings=tuple(RecordingUpload(audio=audio, text=text) for audio, text in pairs),
        )
        return answer(request, model_entity(await hub.keep_voice(upload)), 201)

    @patch("/model/{model_id:str}", status_code=200, summary="Change a voice's title, description or tags")
    async def update_model(model_id: FromPath[str], request: Request) -> Response:
        """Fields that are left out stay."""
        wanted = as_struct(await read_fields(request), ChangedModel)
        named = {"name": wanted.title, "description": wanted.description, "tags": wanted.tags}
        changes: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        voice = await _voice(hub, model_id)
        return answer(request, model_entity(await asyncio.to_thread(hub.voices.update, voice.id, **changes)))

    @delete("/model/{model_id:str}", status_code=200, summary="Remove a voice")
    async def delete_model(model_id: FromPath[str], request: Request) -> Response:
        """For good."""
        voice = await _voice(hub, model_id)
        await asyncio.to_thread(hub.voices.delete, voice.id)
        return answer(request, {"success": True})

    return [create_model, update_model, delete_model]


def model_entity(voice: StoredVoice) -> dict[str, Any]:
    """`voice` as a model of the SDK. Counts that only the vendor's cloud has are 0."""
    return {
        "_id": voice.id,
        "type": "tts",
        "title": voice.name or voice.id,
        "description": voice.description,
        "cover_image": "",
        "train_mode": "fast",
        "state": "trained",
        "tags": list(voice.tags),
        "samples": [
            {
                "title": one.file,
                "text": one.text or "",
                "task_id": "",
                "audio": f"/v1/voices/{voice.id}/recordings/{at}",
            }
            for at, one in enumerate(voice.recordings)
        ],
        "created_at": _time(voice.created),
        "updated_at": _time(voice.updated),
        "languages": [voice.language] if voice.language else [],
        "visibility": "private",
        "lock_visibility": True,
        **dict.fromkeys(("like_count", "mark_count", "shared_count", "task_count"), 0),
        "liked": False,
        "marked": False,
        "author": {"_id": "tts-hub", "nickname": "tts-hub", "avatar": ""},
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _fits(voice: StoredVoice, wanted: ListQuery) -> bool:
    return (
        (wanted.title or "").lower() in (voice.name or voice.id).lower()
        and set(wanted.tag) <= set(voice.tags)
        and (not wanted.language or voice.language in wanted.language)
    )


async def _voice(hub: Host, id: str) -> StoredVoice:
    """Raises NotFound."""
    try:
        return await asyncio.to_thread(hub.voices.get, id)
    except UnknownVoice as error:
        raise NotFound(error.message) from None


def _slug(title: str) -> str:
    """The letters and digits of a title, as the beginning of an id."""
    return re.sub(r"[\W_]+", "-", title).strip("-")[:60] or "voice"
