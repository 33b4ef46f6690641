"""OpenAI's speech API, so that its clients work unchanged: POST /v1/audio/speech, GET /v1/models. One model
is in `hub.api.models`.

What differs, and why:

- `tts-1`, `tts-1-hd`, `gpt-4o-mini-tts` and their dated variants are the hub's default model, unless a model is
  called so. OpenAI's voice names are the model's default voice, unless it has a voice called so. Any other unknown
  name is a 404, never another model or voice.
- `instructions` to a model that takes none is refused (`unsupported_capability`): nothing is silently ignored.
- `seed`, `language`, `sampling`, `sample_rate`, `bitrate` and `options` are welcome beside OpenAI's own fields, and
  mean what they mean in POST /v1/speech.
- `usage` counts characters as input tokens and begun frames of 50 ms as output tokens.
"""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.openapi.spec import OpenAPIMediaType, Schema
from litestar.openapi.spec.enums import OpenAPIType
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct

from hub.api.docs import AudioOperation, errors, example
from hub.api.errors import error_headers, to_hub_error
from hub.api.negotiate import HubResponse
from hub.api.ops import AllCapabilities
from hub.api.respond import PackedSpeech, PartsResponse, audio_response, open_speech, pack, speech_headers
from hub.contract import errors as fault
from hub.contract.errors import HubError
from hub.contract.speech import AudioFormat, Sampling, SpeechRequest

if TYPE_CHECKING:
    from hub.service.hub import Hub
    from hub.service.models import Model

MODEL_ALIAS = re.compile(r"(?:tts-1|tts-1-hd|gpt-4o-mini-tts)(?:-\d[\d-]*)?").fullmatch
VOICE_ALIASES = frozenset(
    ("alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin", "cedar")
)
PCM_RATE = 24_000
FRAME = 0.05
"""Seconds of audio that count as one output token."""

PATHS = ("/v1/audio/", "/v1/models")
"""Whatever goes wrong below these is told in OpenAI's shape."""


class VoiceId(Struct, forbid_unknown_fields=True):
    """OpenAI's way to name a custom voice."""

    id: str


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


class ModelObject(Struct, kw_only=True):
    """A model as OpenAI lists it, and what the hub knows of it."""

    id: str
    created: int
    owned_by: str
    object: Literal["model"] = "model"
    backend: str
    capabilities: AllCapabilities


class ModelList(Struct, kw_only=True):
    """All models."""

    data: list[ModelObject]
    object: Literal["list"] = "list"


class OpenAIProblem(Struct, kw_only=True):
    """What went wrong. `param` is the field that is to blame, where one is."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(Struct):
    """OpenAI's error body."""

    error: OpenAIProblem


EVENT = Schema(
    type=OpenAPIType.OBJECT,
    description="`data` is JSON: speech.audio.delta with base64 `audio`, or speech.audio.done with `usage`",
    properties={"event": Schema(type=OpenAPIType.STRING), "data": Schema(type=OpenAPIType.STRING)},
    required=["data"],
)


class SpeechOperation(AudioOperation):
    """How the route is documented."""

    other_content = {"text/event-stream": OpenAPIMediaType(schema=EVENT)}
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


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """The handlers, in a router that tells errors in OpenAI's shape."""
    created = int(time.time())

    @post(
        "/v1/audio/speech",
        status_code=200,
        operation_class=SpeechOperation,
        operation_id="createSpeech",
        summary="Speak a text, as OpenAI's API",
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
        """Answers audio while it is generated, as bytes or, with `stream_format: "sse"`, as server-sent events."""
        model = find_model(hub, data.model)
        wanted = speech_request(data, model.name, await find_voice(model, data.voice))
        speech = await open_speech(hub, request, wanted)
        if data.stream_format == "audio":
            return await audio_response(hub, request, speech, wanted.format, stream=True)
        packed = await pack(hub, speech, wanted.format, whole=False)
        headers = {**speech_headers(packed), "Cache-Control": "no-store"}
        return PartsResponse(events(packed, len(data.input)), packed, media_type="text/event-stream", headers=headers)

    @get(
        "/v1/models",
        operation_id="listModels",
        summary="All models, as OpenAI's API",
        sync_to_thread=False,
    )
    def list_models() -> ModelList:
        """The configured models."""
        return ModelList(data=[model_object(model, created) for model in hub.models])

    handlers = [create_speech, list_models]
    return [Router("/", route_handlers=handlers, exception_handlers={Exception: error_response}, tags=["openai"])]


def find_model(hub: Hub, name: str) -> Model:
    """The model of this name, or the default model for OpenAI's names. Raises UnknownModel."""
    if MODEL_ALIAS(name) and name not in {model.name for model in hub.models}:
        return hub.models.get(None)
    if not name:
        raise fault.InvalidRequest("`model` is empty; GET /v1/models lists the models", field="model")
    return hub.models.get(name)


async def find_voice(model: Model, voice: str | VoiceId) -> str | None:
    """The voice to ask for: None, the model's default, for an OpenAI name that the model does not have itself."""
    name = voice.id if isinstance(voice, VoiceId) else voice
    if name in VOICE_ALIASES and name not in {known.id for known in await model.voices()}:
        return None
    return name


def speech_request(data: CreateSpeech, model: str, voice: str | None) -> SpeechRequest:
    """`data` in the hub's own words."""
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
    """`speech.audio.delta` with each part, then `speech.audio.done`; an `error` event if the speech breaks off."""
    try:
        async for part in packed:
            yield b'data: {"type":"speech.audio.delta","audio":"%b"}\n\n' % b64encode(part)
    except fault.Cancelled:
        raise
    except HubError as error:
        yield b"event: error\ndata: %b\n\n" % msgspec.json.encode(openai_error(error))
        raise
    frames = -(-packed.seconds // FRAME)
    usage = {"input_tokens": chars, "output_tokens": int(frames), "total_tokens": chars + int(frames)}
    yield b"data: %b\n\n" % msgspec.json.encode({"type": "speech.audio.done", "usage": usage})


def model_object(model: Model, created: int) -> ModelObject:
    """`model` in OpenAI's shape."""
    capabilities = AllCapabilities(**msgspec.structs.asdict(model.capabilities))
    return ModelObject(
        id=model.name, created=created, owned_by=model.spec.name, backend=model.spec.name, capabilities=capabilities
    )


_CODES = {
    "unknown_model": "model_not_found",
    "unknown_voice": "voice_not_found",
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
}
_PARAMS = {
    "text": "input",
    "instruct": "instructions",
    "format.container": "response_format",
    "format.sample_rate": "sample_rate",
    "format.bitrate": "bitrate",
}
_BLAMED = {"unknown_model": "model", "unknown_voice": "voice", "empty_text": "input", "unspeakable_text": "input"}


def openai_error(error: HubError) -> OpenAIError:
    """`error` in OpenAI's shape and with its codes, where it has one for the case; else with the hub's."""
    message, code = error.message, _CODES.get(error.code, error.code)
    blamed = error.detail.get("field") or error.detail.get("capability") or _BLAMED.get(error.code)
    if "unknown" in error.detail:
        message = f"Unrecognized request argument supplied: {error.detail['unknown']}"
        code = "unknown_parameter"
    elif "missing" in error.detail:
        message = f"Missing required parameter: '{error.detail['missing']}'."
        code = "missing_required_parameter"
    if error.status == 429:
        kind = "rate_limit_error"
    else:
        kind = "server_error" if error.status >= 500 else "invalid_request_error"
    return OpenAIError(OpenAIProblem(message=message, type=kind, param=_PARAMS.get(blamed or "", blamed), code=code))


def error_response(request: Request[Any, Any, Any], raised: Exception) -> HubResponse[Any]:
    """The exception handler of these routes."""
    error = to_hub_error(raised, request)
    return HubResponse(openai_error(error), status_code=error.status, headers=error_headers(error))
