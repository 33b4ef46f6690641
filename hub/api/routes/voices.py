"""/v1/voices: list presets and stored voices; create, change, preview and delete stored ones."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, Struct, UnsetType

from hub.api.http.openapi import SPEAKING_ERRORS, AudioOperation, errors, example
from hub.api.respond import speech_response
from hub.api.routes.upload import UploadOperation, UploadRequest
from hub.contract import errors as fault
from hub.contract.speech import AudioFormat, SpeechRequest
from hub.contract.voice import Language, Note, Tags, Title, VoiceUpload, VoiceView
from hub.service.library.catalog import Catalog, catalog, check_no_preset, model_for, stored_view, view_of

if TYPE_CHECKING:
    from hub.service.hub import Hub

MEDIA_TYPES = {
    ".wav": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
    ".webm": "audio/webm",
    ".aiff": "audio/aiff",
    ".aif": "audio/aiff",
    ".au": "audio/basic",
    ".caf": "audio/x-caf",
}

GREETINGS = {
    "en": "This is how I sound. I hope you like my voice.",
    "zh": "你好，这就是我的声音，希望你喜欢。",
    "ja": "こんにちは。これが私の声です。",
    "ko": "안녕하세요. 이것이 제 목소리입니다.",
    "de": "So klinge ich. Ich hoffe, meine Stimme gefällt dir.",
    "fr": "Voici ma voix. J'espère qu'elle vous plaît.",
    "es": "Así suena mi voz. Espero que te guste.",
}
"""The text of a preview, by language; English for all others."""


class VoiceChange(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The fields to change; others stay. A `language` of null means that it is not known."""

    id: Annotated[str, Meta(description="a new id")] | UnsetType = UNSET
    name: Title | UnsetType = UNSET
    language: Language | UnsetType | None = UNSET
    tags: Tags | UnsetType = UNSET
    description: Note | UnsetType = UNSET
    consent: Note | UnsetType = UNSET
    texts: Annotated[dict[str, str], Meta(description="file of a recording -> its transcript")] | UnsetType = UNSET


class Preview(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The text, model and format of a preview; every field is optional."""

    text: Annotated[str, Meta(description="default: a sentence in the voice's language")] | None = None
    model: (
        Annotated[str, Meta(description="default: the default model, else the first that can use the voice")] | None
    ) = None
    language: str | None = None
    format: AudioFormat = AudioFormat()
    stream: bool = False


class PreviewOperation(AudioOperation):
    """The documentation of the preview."""

    examples = (
        example("The default sentence"),
        example("Your own sentence", text="Good evening.", format={"container": "mp3"}),
    )


@dataclass
class RecordingOperation(Operation):
    """The documentation of a recording."""

    def __post_init__(self) -> None:
        binary = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        assert self.responses is not None
        content = dict.fromkeys(MEDIA_TYPES.values(), binary)
        self.responses["200"] = OpenAPIResponse(description="The recording's file", content=content)


_KEEPING = (fault.InvalidRequest, fault.Conflict, fault.StorageFailed, fault.UnsupportedMediaType, fault.TooLarge)


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """Return the handlers."""
    return [*_reading(hub), *_hearing(hub), *_writing(hub)]


def _reading(hub: Hub) -> list[ControllerRouterHandler]:
    @get(
        "/v1/voices",
        tags=["voices"],
        operation_id="list_voices",
        summary="List all voices",
        responses=errors(
            fault.InvalidRequest,
            fault.UnknownModel,
            fault.StorageFailed,
            fault.WorkerStartFailed,
            fault.DeadlineExceeded,
        ),
    )
    async def list_voices(
        model: Annotated[
            str | None,
            QueryParameter(description="list only voices that this model can use; loads a model that was never loaded"),
        ] = None,
    ) -> Catalog:
        """Returns stored voices and the presets of models that have been loaded.

        `models` says which models can use a voice, and why others cannot.
        """
        return await _catalog(hub, model)

    @get(
        "/v1/voices/{voice:str}",
        tags=["voices"],
        operation_id="get_voice",
        summary="Get a voice",
        responses=errors(fault.InvalidRequest, fault.UnknownVoice, fault.StorageFailed),
    )
    async def get_voice(voice: FromPath[str]) -> VoiceView:
        """Returns a preset or a stored voice."""
        return await asyncio.to_thread(view_of, hub.models, hub.voices, voice)

    return [list_voices, get_voice]


def _hearing(hub: Hub) -> list[ControllerRouterHandler]:
    @get(
        "/v1/voices/{voice:str}/audio",
        tags=["voices"],
        operation_id="voice_audio",
        operation_class=RecordingOperation,
        summary="Get a recording of a stored voice",
        responses=errors(fault.InvalidRequest, fault.UnknownVoice, fault.StorageFailed),
    )
    async def voice_audio(
        voice: FromPath[str],
        recording: Annotated[int, QueryParameter(ge=0, le=99, description="which one, counted from 0")] = 0,
    ) -> Response[bytes]:
        """Returns the file as it is stored."""
        name, data = await asyncio.to_thread(hub.voices.recording, voice, recording)
        media_type = MEDIA_TYPES["." + name.rpartition(".")[2].lower()]
        return Response(data, media_type=media_type, headers={"X-Content-Type-Options": "nosniff"})

    @post(
        "/v1/voices/{voice:str}/preview",
        status_code=200,
        tags=["voices"],
        operation_id="preview_voice",
        operation_class=PreviewOperation,
        summary="Preview a voice",
        responses=errors(*SPEAKING_ERRORS, fault.StorageFailed),
    )
    async def preview(voice: FromPath[str], data: JSONBody[Preview], request: Request) -> Response:  # type: ignore[type-arg]
        """Returns a sentence in this voice, spoken by a model that can use it."""
        return await speech_response(hub, request, await asyncio.to_thread(_preview_request, hub, voice, data))

    return [voice_audio, preview]


def _writing(hub: Hub) -> list[ControllerRouterHandler]:
    @post(
        "/v1/voices",
        status_code=201,
        request_class=UploadRequest,
        operation_class=UploadOperation,
        tags=["voices"],
        operation_id="create_voice",
        summary="Store a voice",
        responses=errors(*_KEEPING, fault.InvalidAudio, fault.Forbidden),
    )
    async def create_voice(data: JSONBody[VoiceUpload]) -> VoiceView:
        """Makes a voice of one or more recordings with their transcripts, as JSON, msgpack or a multipart form."""
        voice = await hub.keep_voice(data)
        return await asyncio.to_thread(stored_view, hub.models, hub.voices, voice)

    @patch(
        "/v1/voices/{voice:str}",
        tags=["voices"],
        operation_id="change_voice",
        summary="Change a stored voice",
        responses=errors(*_KEEPING, fault.UnknownVoice),
    )
    async def change_voice(voice: FromPath[str], data: JSONBody[VoiceChange]) -> VoiceView:
        """Changes its id, what is known about it, or its transcripts."""
        return await asyncio.to_thread(_changed, hub, voice, data)

    @delete(
        "/v1/voices/{voice:str}",
        tags=["voices"],
        operation_id="delete_voice",
        summary="Delete a stored voice",
        responses=errors(fault.InvalidRequest, fault.UnknownVoice, fault.StorageFailed),
    )
    async def delete_voice(voice: FromPath[str]) -> None:
        """Deletes the voice and its recordings at once."""
        await asyncio.to_thread(hub.voices.delete, voice)

    return [create_voice, change_voice, delete_voice]


def _changed(hub: Hub, voice: str, data: VoiceChange) -> VoiceView:
    """Change a stored voice, and return it."""
    changes: dict[str, Any] = {
        name: value for name, value in msgspec.structs.asdict(data).items() if value is not UNSET
    }
    new_id, texts = changes.pop("id", None), changes.pop("texts", None)
    if new_id is not None and new_id != voice:
        check_no_preset(hub.models, new_id)
    return stored_view(hub.models, hub.voices, hub.voices.update(voice, new_id=new_id, texts=texts, **changes))


async def _catalog(hub: Hub, model: str | None) -> Catalog:
    """Return all voices, or those that `model` can use; load that model if it was never loaded."""
    chosen = hub.models.get(model) if model else None
    if chosen is not None and chosen.engine.loaded is None:
        await chosen.start(asyncio.get_running_loop().time() + chosen.settings.deadline)
    return await asyncio.to_thread(catalog, hub.models, hub.voices, chosen)


def _preview_request(hub: Hub, voice: str, data: Preview) -> SpeechRequest:
    """Choose the model and the text of a preview. Raises HubError."""
    model = model_for(hub.models, hub.voices, voice, data.model)
    language = data.language if data.language is not None else _language(hub, voice)
    return SpeechRequest(
        text=data.text if data.text is not None else _greeting(language),
        model=model.name,
        voice=voice,
        language=data.language,
        format=data.format,
        stream=data.stream,
    )


def _language(hub: Hub, voice: str) -> str:
    try:
        return next(iter(view_of(hub.models, hub.voices, voice).languages), "en")
    except fault.UnknownVoice:
        return "en"  # a preset of a model that was never loaded; speaking will find out


def _greeting(language: str) -> str:
    return GREETINGS.get(language.split("-")[0].lower(), GREETINGS["en"])
