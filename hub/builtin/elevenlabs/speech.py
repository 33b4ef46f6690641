"""Speech, as in ElevenLabs' API: complete or streamed, with or without the times of characters."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import OpenAPIMediaType, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromPath, JSONBody, QueryParameter

from hub.api.http.departure import until_departure
from hub.api.http.openapi import AudioOperation, errors, example
from hub.api.respond import PackedSpeech, PartsResponse, open_speech, pack, speech_headers, speech_response
from hub.audio.alignment import Alignment
from hub.builtin.elevenlabs.shapes import (
    FORMATS,
    ElevenLabsError,
    TextToSpeech,
    TimedAudio,
    audio_format,
    character_alignment,
    is_elevenlabs_model,
    speech_request,
)
from hub.contract import errors as fault
from hub.contract.speech import SpeechRequest
from hub.text.spoken import spoken_text

if TYPE_CHECKING:
    from hub.plugin.host import Host, HostModel

PATH = "/v1/text-to-speech/{voice_id:str}"

LINES = "application/x-ndjson"

OutputFormat = Annotated[str, QueryParameter(description=f"container, Hz, kbit/s: {', '.join(FORMATS)}")]

_EXAMPLE = example("Speak", text="Hello from the hub.", model_id="eleven_multilingual_v2")
_TELEPHONE = {
    name: OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
    for name in ("audio/basic", "audio/pcma")
}


class SpeechOperation(AudioOperation):
    """The documentation of the routes that return audio."""

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

_USUAL: dict[str, Any] = {"status_code": 200, "responses": _ERRORS}


def speech_routes(hub: Host) -> list[HTTPRouteHandler]:
    """Return the handlers that speak."""
    return [*_audio_routes(hub), *_timed_routes(hub)]


def _audio_routes(hub: Host) -> list[HTTPRouteHandler]:
    @post(PATH, operation_class=SpeechOperation, summary="Speak a text, as in ElevenLabs' API", **_USUAL)
    async def text_to_speech(
        voice_id: FromPath[str],
        data: JSONBody[TextToSpeech],
        request: Request,  # type: ignore[type-arg]
        output_format: OutputFormat = "mp3_44100_128",
    ) -> Response:  # type: ignore[type-arg]
        """Returns the complete audio."""
        wanted = await _wanted(hub, data, voice_id, output_format, stream=False)
        return await speech_response(hub, request, wanted)

    @post(f"{PATH}/stream", operation_class=SpeechOperation, summary="Speak a text, streamed", **_USUAL)
    async def text_to_speech_stream(
        voice_id: FromPath[str],
        data: JSONBody[TextToSpeech],
        request: Request,  # type: ignore[type-arg]
        output_format: OutputFormat = "mp3_44100_128",
    ) -> Response:  # type: ignore[type-arg]
        """Sends audio while it is generated."""
        wanted = await _wanted(hub, data, voice_id, output_format, stream=True)
        return await speech_response(hub, request, wanted)

    return [text_to_speech, text_to_speech_stream]


def _timed_routes(hub: Host) -> list[HTTPRouteHandler]:
    @post(f"{PATH}/with-timestamps", summary="Speak a text, with the times of characters", **_USUAL)
    async def text_to_speech_with_timestamps(
        voice_id: FromPath[str],
        data: JSONBody[TextToSpeech],
        request: Request,  # type: ignore[type-arg]
        output_format: OutputFormat = "mp3_44100_128",
    ) -> TimedAudio:
        """Returns the complete audio as base64, with the times at which each character is heard."""
        asked = await _wanted(hub, data, voice_id, output_format, stream=False)
        packed = await pack(hub, await open_speech(hub, request, asked), asked.format, whole=True)
        alignment = listen(packed, asked)
        try:
            async with until_departure(request.receive):
                body = b"".join([part async for part in packed])
        finally:
            await packed.aclose()
        return TimedAudio(audio_base64=b64encode(body).decode(), alignment=character_alignment(alignment.take()))

    @post(f"{PATH}/stream/with-timestamps", summary="Speak a text, streamed with the times of characters", **_USUAL)
    async def text_to_speech_stream_with_timestamps(
        voice_id: FromPath[str],
        data: JSONBody[TextToSpeech],
        request: Request,  # type: ignore[type-arg]
        output_format: OutputFormat = "mp3_44100_128",
    ) -> Response:  # type: ignore[type-arg]
        """Sends lines of JSON, each with a part of the audio and the characters whose times are known by then."""
        asked = await _wanted(hub, data, voice_id, output_format, stream=True)
        packed = await pack(hub, await open_speech(hub, request, asked), asked.format, whole=False)
        parts = timed_lines(packed, listen(packed, asked))
        return PartsResponse(parts, packed, media_type=LINES, headers=speech_headers(packed))

    return [text_to_speech_with_timestamps, text_to_speech_stream_with_timestamps]


async def _wanted(hub: Host, data: TextToSpeech, voice: str, format: str, *, stream: bool) -> SpeechRequest:
    """Return `data` as a SpeechRequest to a model that can use `voice`. Raises HubError."""
    model = await find_model(hub, data.model_id, voice)
    return speech_request(data, model.name, voice, audio_format(format), stream=stream)


async def find_model(hub: Host, name: str | None, voice: str) -> HostModel:
    """Return the model of this name; for ElevenLabs' names or none, one that can use the voice, the default first.

    Raises UnknownModel, UnknownVoice.
    """
    if name and is_elevenlabs_model(name) and name not in {model.name for model in hub.models}:
        name = None
    return await hub.model_for(voice, name)


def listen(packed: PackedSpeech, asked: SpeechRequest) -> Alignment:
    """Return an alignment that listens to `packed`, which has not been read yet."""
    alignment = Alignment(spoken_text(asked))
    packed.listener = alignment.feed
    return alignment


async def timed_lines(packed: PackedSpeech, alignment: Alignment) -> AsyncIterator[bytes]:
    """Yield a line for each part, and a last line with the remaining characters."""
    async for part in packed:
        yield _line(part, alignment)
    if (rest := character_alignment(alignment.take())) is not None:
        yield msgspec.json.encode(TimedAudio(audio_base64="", alignment=rest)) + b"\n"


def _line(part: bytes, alignment: Alignment) -> bytes:
    known = character_alignment(alignment.take())
    return msgspec.json.encode(TimedAudio(audio_base64=b64encode(part).decode(), alignment=known)) + b"\n"
