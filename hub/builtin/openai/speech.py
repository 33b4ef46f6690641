"""POST /v1/audio/speech, as in OpenAI's API, so that its clients work unchanged.

What differs, and why:

- `tts-1`, `tts-1-hd`, `gpt-4o-mini-tts` and their dated variants are the hub's default model, unless a model has that
  name. OpenAI's voice names are the model's default voice, unless it has a voice of that name. Any other unknown name
  is a 404, never another model or voice.
- `instructions` for a model that takes none are refused (`unsupported_capability`): nothing is silently ignored.
- `seed`, `language`, `sampling`, `sample_rate`, `bitrate` and `options` are accepted beside OpenAI's fields, and mean
  the same as in POST /v1/speech.
- `usage` counts characters as input tokens, and frames of 50 ms, rounded up, as output tokens.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from msgspec import Meta, Struct

from hub.api.http import sse
from hub.api.http.openapi import AudioOperation, errors, example
from hub.api.respond import PackedSpeech, PartsResponse, audio_response, open_speech, pack, speech_headers
from hub.builtin.openai.names import VoiceId, find_model, find_voice
from hub.builtin.openai.shapes import OpenAIError, openai_error
from hub.contract import errors as fault
from hub.contract.errors import HubError
from hub.contract.speech import AudioFormat, Sampling, SpeechRequest

if TYPE_CHECKING:
    from hub.plugin.host import Host

PCM_RATE = 24_000
FRAME = 0.05
"""Seconds of audio that count as one output token."""


class CreateSpeech(Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/audio/speech: OpenAI's fields, then the hub's."""

    model: Annotated[str, Meta(description="a model of this hub, or one of OpenAI's names for the default model")]
    input: Annotated[str, Meta(description="what to say")]
    voice: Annotated[
        str | VoiceId, Meta(description="a voice of the model, or one of OpenAI's names for its default voice")
    ]
    instructions: Annotated[str, Meta(description="how to say it, for models that take instructions")] | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: Annotated[float, Meta(ge=0.25, le=4.0)] = 1.0
    stream_format: Annotated[
        Literal["sse", "audio"], Meta(description="audio bytes as they are generated, or events with base64 audio")
    ] = "audio"
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    language: Annotated[str, Meta(description="BCP 47 tag")] | None = None
    sampling: Sampling = Sampling()
    sample_rate: (
        Annotated[int, Meta(ge=4000, le=192_000, description="Hz; default: 24000 for pcm, else the model's")] | None
    ) = None
    bitrate: Annotated[int, Meta(ge=8, le=512, description="kbit/s, for mp3, opus and aac")] | None = None
    options: dict[str, Any] = {}


class SpeechOperation(AudioOperation):
    """The documentation of the route."""

    other_content = sse.documented(
        "`data` is JSON: speech.audio.delta with base64 `audio`, or speech.audio.done with `usage`", named=False
    )
    examples = (
        example("Speak", model="tts-1", input="Hello from the hub.", voice="alloy"),
        example(
            "Events",
            model="tts-1",
            input="Hello from the hub.",
            voice="alloy",
            response_format="pcm",
            stream_format="sse",
        ),
    )


def routes(hub: Host) -> list[HTTPRouteHandler]:
    """Return the handlers."""

    @post(
        "/v1/audio/speech",
        status_code=200,
        operation_class=SpeechOperation,
        operation_id="createSpeech",
        summary="Speak a text, as in OpenAI's API",
        responses=errors(
            fault.InvalidRequest,
            fault.EmptyText,
            fault.UnsupportedCapability,
            fault.UnknownModel,
            fault.UnknownVoice,
            fault.TooLarge,
            fault.Busy,
            fault.BackendFailed,
            fault.DeadlineExceeded,
            body=OpenAIError,
        ),
    )
    async def create_speech(data: JSONBody[CreateSpeech], request: Request) -> Response:  # type: ignore[type-arg]
        """Sends audio while it is generated, as bytes or, with `stream_format: "sse"`, as server-sent events."""
        model = find_model(hub, data.model)
        wanted = speech_request(data, model.name, await find_voice(model, data.voice))
        speech = await open_speech(hub, request, wanted)
        if data.stream_format == "audio":
            return await audio_response(hub, request, speech, wanted.format, stream=True)
        packed = await pack(hub, speech, wanted.format, whole=False)
        headers = speech_headers(packed) | sse.HEADERS
        return PartsResponse(events(packed, len(data.input)), packed, media_type=sse.MEDIA_TYPE, headers=headers)

    return [create_speech]


def speech_request(data: CreateSpeech, model: str, voice: str | None) -> SpeechRequest:
    """Return `data` as a SpeechRequest."""
    rate = data.sample_rate or (PCM_RATE if data.response_format == "pcm" else None)
    return SpeechRequest(
        text=data.input,
        model=model,
        voice=voice,
        instruct=data.instructions or None,
        language=data.language,
        speed=data.speed,
        seed=data.seed,
        sampling=data.sampling,
        format=AudioFormat(container=data.response_format, sample_rate=rate, bitrate=data.bitrate),
        stream=True,
        options=data.options,
    )


async def events(packed: PackedSpeech, chars: int) -> AsyncIterator[bytes]:
    """Yield `speech.audio.delta` for each part, then `speech.audio.done`, or `error` if the speech breaks off."""
    try:
        async for part in packed:
            yield sse.server_event(b'{"type":"speech.audio.delta","audio":"%b"}' % b64encode(part))
    except fault.Cancelled:
        raise
    except HubError as error:
        yield sse.server_event(msgspec.json.encode(openai_error(error)), event="error")
        raise
    frames = -(-packed.seconds // FRAME)
    usage = {"input_tokens": chars, "output_tokens": int(frames), "total_tokens": chars + int(frames)}
    yield sse.server_event(msgspec.json.encode({"type": "speech.audio.done", "usage": usage}))
