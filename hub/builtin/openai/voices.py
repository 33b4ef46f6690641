"""OpenAI's custom voices, on top of the hub's voices: POST and DELETE /v1/audio/voices, and /v1/audio/voice_consents.

A voice created here is a stored voice that every route can use; it names its consent. Voices from a prompt are refused:
no model here designs voices.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Request, delete, get, post
from litestar.datastructures import UploadFile
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import Struct

from hub.api.http.problems import invalid_body
from hub.audio.decode import DecodeLimits
from hub.contract.errors import InvalidRequest, UnsupportedCapability
from hub.contract.voice import Language, RecordingUpload, Title, VoiceUpload
from hub.service.library.consents import Consent, Consents

if TYPE_CHECKING:
    from hub.plugin.host import Host


class NewVoice(Struct, kw_only=True, forbid_unknown_fields=True):
    """The form of POST /v1/audio/voices."""

    name: Title
    audio_sample: bytes
    consent: str
    type: Literal["audio_sample"] = "audio_sample"


class NewConsent(Struct, kw_only=True, forbid_unknown_fields=True):
    """The form of POST /v1/audio/voice_consents."""

    name: Title
    language: Language
    recording: bytes


class ConsentName(Struct, kw_only=True, forbid_unknown_fields=True):
    """The body that renames a consent."""

    name: Title


class VoiceObject(Struct, kw_only=True):
    """A voice, in OpenAI's shape."""

    id: str
    created_at: int
    name: str
    object: Literal["audio.voice"] = "audio.voice"
    type: Literal["audio_sample"] = "audio_sample"


class ConsentObject(Struct, kw_only=True):
    """A consent, in OpenAI's shape."""

    id: str
    created_at: int
    language: str
    name: str
    object: Literal["audio.voice_consent"] = "audio.voice_consent"


class ConsentList(Struct, kw_only=True):
    """A page of consents, newest first."""

    data: list[ConsentObject]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: Literal["list"] = "list"


class Deleted(Struct, kw_only=True):
    """A deleted object."""

    id: str
    object: str
    deleted: bool = True


def routes(hub: Host) -> list[HTTPRouteHandler]:
    """Return the handlers. They are left out of the schema: OpenAI documents them."""
    limits = DecodeLimits(bytes=hub.settings.limits.body_bytes, seconds=hub.settings.limits.reference_seconds)
    consents = Consents(hub.data_folder / "consents", limits)
    handlers = [*_voice_routes(hub, consents), *_consent_routes(consents)]
    for handler in handlers:
        handler.include_in_schema = False
    return handlers


def _voice_routes(hub: Host, consents: Consents) -> list[HTTPRouteHandler]:
    @post("/v1/audio/voices", status_code=200)
    async def create_voice(request: Request) -> VoiceObject:  # type: ignore[type-arg]
        """Makes a voice of a recording, with the consent of its speaker."""
        fields = await form_of(request)
        if fields.get("type") == "prompt":
            raise UnsupportedCapability(
                "no model of this hub makes a voice from a prompt: send `audio_sample`", field="type"
            )
        wanted = convert(fields, NewVoice)
        consent = await asyncio.to_thread(consents.get, wanted.consent)
        upload = VoiceUpload(
            id=f"voice_{uuid.uuid4().hex[:24]}",
            name=wanted.name,
            language=consent.language,
            consent=f"{consent.id}: {consent.name}",
            recordings=(RecordingUpload(audio=wanted.audio_sample),),
        )
        voice = await hub.keep_voice(upload)
        return VoiceObject(id=voice.id, created_at=int(voice.created), name=voice.name)

    @delete("/v1/audio/voices/{voice:str}", status_code=200)
    async def delete_voice(voice: FromPath[str]) -> Deleted:
        """Deletes the voice; its consent stays."""
        await asyncio.to_thread(hub.voices.delete, voice)
        return Deleted(id=voice, object="audio.voice.deleted")

    return [create_voice, delete_voice]


def _consent_routes(consents: Consents) -> list[HTTPRouteHandler]:
    path = "/v1/audio/voice_consents"

    @post(path, status_code=200)
    async def create_consent(request: Request) -> ConsentObject:  # type: ignore[type-arg]
        """Stores a recording in which the speaker gives consent."""
        wanted = convert(await form_of(request), NewConsent)
        return _consent_object(await asyncio.to_thread(consents.keep, wanted.name, wanted.language, wanted.recording))

    @get(path)
    async def list_consents(
        after: FromQuery[str] = "", limit: Annotated[int, QueryParameter(ge=1, le=100)] = 20
    ) -> ConsentList:
        """Returns a page of consents, starting after the consent `after`."""
        return _page(await asyncio.to_thread(consents.list), after, limit)

    @get(f"{path}/{{consent:str}}")
    async def get_consent(consent: FromPath[str]) -> ConsentObject:
        """Returns the consent of this id."""
        return _consent_object(await asyncio.to_thread(consents.get, consent))

    @post(f"{path}/{{consent:str}}", status_code=200)
    async def rename_consent(consent: FromPath[str], request: Request) -> ConsentObject:  # type: ignore[type-arg]
        """Changes the name of the consent."""
        wanted = convert(await form_of(request), ConsentName)
        return _consent_object(await asyncio.to_thread(consents.rename, consent, wanted.name))

    @delete(f"{path}/{{consent:str}}", status_code=200)
    async def delete_consent(consent: FromPath[str]) -> Deleted:
        """Deletes the consent; voices made with it stay."""
        await asyncio.to_thread(consents.delete, consent)
        return Deleted(id=consent, object="audio.voice_consent")

    return [create_consent, list_consents, get_consent, rename_consent, delete_consent]


def _page(known: Sequence[Consent], after: str, limit: int) -> ConsentList:
    """Return up to `limit` of the `known` consents, starting after the id `after`. Raises InvalidRequest."""
    ids = [consent.id for consent in known]
    if after and after not in ids:
        raise InvalidRequest(f"there is no consent recording {after[:100]!r} to continue from", field="after")
    begin = ids.index(after) + 1 if after else 0
    page = known[begin : begin + limit]
    return ConsentList(
        data=[_consent_object(consent) for consent in page],
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=begin + limit < len(known),
    )


async def form_of(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Return the fields of a form, files as bytes, or of a JSON body. Raises InvalidRequest."""
    if request.content_type[0].lower() != "multipart/form-data":
        body = await request.json()
        if not isinstance(body, dict):
            raise InvalidRequest("the body must be a form or a JSON object")
        return body
    try:
        form = await request.form()
    except (UnicodeError, LookupError, ValueError) as error:  # a charset that is wrong or does not exist
        raise InvalidRequest("cannot read the form: its text must be UTF-8") from error
    try:
        return {name: await value.read() if isinstance(value, UploadFile) else value for name, value in form.items()}
    finally:
        await form.close()


def convert(fields: dict[str, Any], kind: type[Any]) -> Any:
    """Convert `fields` to a `kind`. Raises InvalidRequest."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise invalid_body(error, kind) from error


def _consent_object(consent: Consent) -> ConsentObject:
    return ConsentObject(id=consent.id, created_at=int(consent.created), language=consent.language, name=consent.name)
