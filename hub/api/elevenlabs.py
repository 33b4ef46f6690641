"""ElevenLabs' speech API, so that its clients work unchanged.

With `base_url` `http://HUB/compat/elevenlabs` a client has all of it. The speech routes are also at their own paths;
the lists are not, where the hub's own voices and OpenAI's models are. What differs, and why:

- `eleven_...` and no `model_id` at all are the default model, or the first that has the voice. An unknown voice is a
  404, never another voice.
- `stability`, `similarity_boost`, `style`, `use_speaker_boost`, `clone_strength`, `use_pvc_as_ivc`, the texts and the
  requests before and after, `enable_logging` and `optimize_streaming_latency` tune what only ElevenLabs has: they are
  read and change nothing. What would change the words or the sound is refused (`unsupported_capability`).
- Times of characters are exact where the model marks its words, else spread over exact spans; nothing is known of a
  normalized text, so `normalized_alignment` is null.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.openapi.spec import OpenAPIMediaType, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler

from hub.api.departure import until_departure
from hub.api.docs import AudioOperation, errors, example
from hub.api.elevenlabs_shapes import (
    FORMATS,
    ElevenLabsError,
    ListedModel,
    ListedVoice,
    ModelLanguage,
    TextToSpeech,
    TimedAudio,
    VoiceList,
    VoiceModel,
    audio_format,
    character_alignment,
    elevenlabs_error,
    is_elevenlabs_model,
    speech_request,
)
from hub.api.errors import error_headers, to_hub_error
from hub.api.negotiate import HubResponse
from hub.api.respond import PackedSpeech, PartsResponse, open_speech, pack, speech_headers, speech_response
from hub.audio.alignment import Alignment
from hub.contract import errors as fault
from hub.contract.errors import UnknownVoice
from hub.contract.speech import SpeechRequest
from hub.service.catalog import VoiceView, catalog, model_for
from hub.service.marks import spoken_text

if TYPE_CHECKING:
    from hub.service.hub import Hub
    from hub.service.models import Model

BASE = "/compat/elevenlabs"
PATHS = ("/v1/text-to-speech", BASE)
"""Whatever goes wrong below these is told in ElevenLabs' shape."""

LINES = "application/x-ndjson"

OutputFormat = Annotated[str, QueryParameter(description=f"container, Hz, kbit/s: {', '.join(FORMATS)}")]

_EXAMPLE = example("Speak", text="Hello from the hub.", model_id="eleven_multilingual_v2")
_TELEPHONE = {
    name: OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
    for name in ("audio/basic", "audio/pcma")
}


class SpeechOperation(AudioOperation):
    """How the routes that answer audio are documented."""

    other_content = _TELEPHONE
    examples = (_EXAMPLE,)


_ERRORS = errors(
    fault.InvalidRequest,
    fault.EmptyText,
    fault.UnsupportedCapability,
    fault.UnknownModel,
    fault.UnknownVoice,
    fault.TooLarge,
    fault.Busy,
    fault.BackendFailed,
    fault.DeadlineExceeded,
    body=ElevenLabsError,
)


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """The handlers, in routers that tell errors in ElevenLabs' shape."""
    shape: dict[str, Any] = {"exception_handlers": {Exception: error_response}, "tags": ["elevenlabs"]}
    speech = _speech_routes(hub)
    return [
        Router("/", route_handlers=speech, **shape),
        Router(BASE, route_handlers=[*speech, *_list_routes(hub)], include_in_schema=False, **shape),
    ]


def _speech_routes(hub: Hub) -> list[ControllerRouterHandler]:
    path = "/v1/text-to-speech/{voice_id:str}"
    usual: dict[str, Any] = {"status_code": 200, "responses": _ERRORS}

    async def wanted(data: TextToSpeech, voice: str, format: str, *, stream: bool) -> SpeechRequest:
        model = await find_model(hub, data.model_id, voice)
        return speech_request(data, model.name, voice, audio_format(format), stream=stream)

    @post(path, operation_class=SpeechOperation, summary="Speak a text, as ElevenLabs' API", **usual)
    async def text_to_speech(
        voice_id: FromPath[str],
        data: JSONBody[TextToSpeech],
        request: Request,  # type: ignore[type-arg]
        output_format: OutputFormat = "mp3_44100_128",
    ) -> Response:  # type: ignore[type-arg]
        """Answers the whole audio."""
        return await speech_response(hub, request, await wanted(data, voice_id, output_format, stream=False))

    @post(f"{path}/stream", operation_class=SpeechOperation, summary="The same, while it is generated", **usual)
    async def text_to_speech_stream(
        voice_id: FromPath[str],
        data: JSONBody[TextToSpeech],
        request: Request,  # type: ignore[type-arg]
        output_format: OutputFormat = "mp3_44100_128",
    ) -> Response:  # type: ignore[type-arg]
        """Answers audio while it is generated."""
        return await speech_response(hub, request, await wanted(data, voice_id, output_format, stream=True))

    @post(f"{path}/with-timestamps", summary="Speak a text and tell when each character is heard", **usual)
    async def text_to_speech_with_timestamps(
        voice_id: FromPath[str],
        data: JSONBody[TextToSpeech],
        request: Request,  # type: ignore[type-arg]
        output_format: OutputFormat = "mp3_44100_128",
    ) -> TimedAudio:
        """Answers the whole audio as base64, with its characters."""
        asked = await wanted(data, voice_id, output_format, stream=False)
        packed = await pack(hub, await open_speech(hub, request, asked), asked.format, whole=True)
        alignment = listen(packed, asked)
        try:
            async with until_departure(request.receive):
                body = b"".join([part async for part in packed])
        finally:
            await packed.aclose()
        return TimedAudio(audio_base64=b64encode(body).decode(), alignment=character_alignment(alignment.take()))

    @post(f"{path}/stream/with-timestamps", summary="The same, while it is generated", **usual)
    async def text_to_speech_stream_with_timestamps(
        voice_id: FromPath[str],
        data: JSONBody[TextToSpeech],
        request: Request,  # type: ignore[type-arg]
        output_format: OutputFormat = "mp3_44100_128",
    ) -> Response:  # type: ignore[type-arg]
        """Answers lines of JSON, each a piece of audio with the characters whose times are known by then."""
        asked = await wanted(data, voice_id, output_format, stream=True)
        packed = await pack(hub, await open_speech(hub, request, asked), asked.format, whole=False)
        parts = timed_lines(packed, listen(packed, asked))
        return PartsResponse(parts, packed, media_type=LINES, headers=speech_headers(packed))

    return [
        text_to_speech,
        text_to_speech_stream,
        text_to_speech_with_timestamps,
        text_to_speech_stream_with_timestamps,
    ]


def _list_routes(hub: Hub) -> list[ControllerRouterHandler]:
    @get("/v1/voices")
    async def list_voices() -> VoiceList:
        """All voices that a model can use."""
        voices = await find_voices(hub)
        return VoiceList(voices=voices, total_count=len(voices))

    @get("/v2/voices")
    async def search_voices(
        search: FromQuery[str] = "",
        page_size: Annotated[int, QueryParameter(ge=1, le=100)] = 10,
        next_page_token: FromQuery[str] = "",
    ) -> VoiceList:
        """The voices with `search` in their name or description, by the page."""
        found = [
            voice
            for voice in await find_voices(hub)
            if search.lower() in f"{voice.voice_id} {voice.name} {voice.description}".lower()
        ]
        begin = next((at for at, voice in enumerate(found) if voice.voice_id == next_page_token), 0)
        page, rest = found[begin : begin + page_size], found[begin + page_size :]
        token = rest[0].voice_id if rest else None
        return VoiceList(voices=page, has_more=bool(rest), total_count=len(found), next_page_token=token)

    @get("/v1/voices/{voice_id:str}")
    async def get_voice(voice_id: FromPath[str]) -> ListedVoice:
        """The voice of this id."""
        voices = await find_voices(hub)
        for voice in voices:
            if voice.voice_id == voice_id:
                return voice
        known = ", ".join(voice.voice_id for voice in voices)
        raise UnknownVoice(f"there is no voice {voice_id[:100]!r}; there are: {known or 'none'}")

    @get("/v1/models", sync_to_thread=False)
    def list_models() -> list[ListedModel]:
        """The configured models."""
        return [_listed_model(model, hub.settings.limits.text_chars) for model in hub.models]

    return [list_voices, search_voices, get_voice, list_models]


async def find_model(hub: Hub, name: str | None, voice: str) -> Model:
    """The model of this name; for ElevenLabs' names, or none, one that can use the voice, the default model first.

    Raises UnknownModel, UnknownVoice.
    """
    if name and is_elevenlabs_model(name) and name not in {model.name for model in hub.models}:
        name = None
    return await asyncio.to_thread(model_for, hub, voice, name)


def listen(packed: PackedSpeech, asked: SpeechRequest) -> Alignment:
    """The alignment of a speech that is about to be read."""
    alignment = Alignment(spoken_text(asked))
    packed.listener = alignment.feed
    return alignment


async def timed_lines(packed: PackedSpeech, alignment: Alignment) -> AsyncIterator[bytes]:
    """A line with each part, the last one with what is left of the characters."""
    async for part in packed:
        yield _line(part, alignment)
    if (rest := character_alignment(alignment.take())) is not None:
        yield msgspec.json.encode(TimedAudio(audio_base64="", alignment=rest)) + b"\n"


def _line(part: bytes, alignment: Alignment) -> bytes:
    known = character_alignment(alignment.take())
    return msgspec.json.encode(TimedAudio(audio_base64=b64encode(part).decode(), alignment=known)) + b"\n"


async def find_voices(hub: Hub) -> list[ListedVoice]:
    """The presets of the models that have been up, and the stored voices. A stored one is `cloned`."""
    views = (await asyncio.to_thread(catalog, hub)).voices
    return [_listed_voice(view) for view in views if any(fit.usable for fit in view.models.values())]


def _listed_voice(view: VoiceView) -> ListedVoice:
    models = [name for name, fit in view.models.items() if fit.usable]
    labels = {"language": view.languages[0]} if view.languages else {}
    return ListedVoice(
        voice_id=view.id,
        name=view.name or view.id,
        category="premade" if view.kind == "preset" else "cloned",
        description=view.description,
        labels={**labels, **dict.fromkeys(view.tags, "yes")},
        high_quality_base_model_ids=models,
        verified_languages=[
            VoiceModel(language=language, model_id=model) for model in models for language in view.languages
        ],
    )


def _listed_model(model: Model, longest: int) -> ListedModel:
    return ListedModel(
        model_id=model.name,
        name=model.spec.title or model.name,
        description=model.spec.description,
        maximum_text_length_per_request=longest,
        languages=[ModelLanguage(language_id=tag, name=tag) for tag in model.capabilities.languages],
    )


def error_response(request: Request[Any, Any, Any], raised: Exception) -> HubResponse[Any]:
    """The exception handler of these routes."""
    error = to_hub_error(raised, request)
    return HubResponse(elevenlabs_error(error), status_code=error.status, headers=error_headers(error))
