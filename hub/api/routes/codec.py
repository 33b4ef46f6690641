"""/v1/codec: recordings to tokens, and tokens to audio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from litestar import Request, Response, post
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct

from hub.api.http.departure import until_departure
from hub.api.http.forms import FormOperation, FormRequest
from hub.api.http.openapi import WORKING_ERRORS, AudioOperation, errors, example
from hub.api.http.request_id import request_id
from hub.api.respond import audio_response
from hub.audio.encode import check_format
from hub.contract import errors as fault
from hub.contract.errors import InvalidRequest
from hub.contract.speech import AudioFormat
from hub.contract.tokens import Tokens

if TYPE_CHECKING:
    from hub.service.hub import Hub

Id = Annotated[int, Meta(ge=0, le=2**31 - 1)]
ModelName = Annotated[
    str, Meta(description="default: the default model if it has a codec, else the first that has one")
]
Row = Annotated[list[Id], Meta(min_length=1)]
Rows = Annotated[
    list[Row],
    Meta(min_length=1, max_length=1024, description="a list of token ids for each codebook, all of equal length"),
]


class ToEncode(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A recording to encode."""

    audio: Annotated[bytes, Meta(description="an audio file: wav, flac, mp3, ogg, m4a, ... (base64 in JSON)")]
    model: ModelName | None = None


class EncodedAudio(Struct, kw_only=True, frozen=True):
    """The tokens of a recording: `codebooks` lists of `frames` ids. `seconds` is the length of the recording."""

    model: str
    codebooks: int
    frames: int
    seconds: float
    tokens: list[list[int]]


class ToDecode(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Tokens that the same model's encoder made, and the format of the audio."""

    tokens: Rows
    model: ModelName | None = None
    format: AudioFormat = AudioFormat()


class DecodeOperation(AudioOperation):
    """The documentation of decoding."""

    examples = (example("Decode", tokens=[[17, 4, 255], [3, 81, 9]], format={"container": "flac"}),)


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """Return the handlers."""
    return [_encoding(hub), _decoding(hub)]


def _encoding(hub: Hub) -> ControllerRouterHandler:
    @post(
        "/v1/codec/encode",
        status_code=200,
        request_class=FormRequest,
        operation_class=FormOperation,
        operation_id="encode_audio",
        summary="Encode a recording as tokens",
        tags=["codec"],
        responses=errors(*WORKING_ERRORS, fault.InvalidAudio),
    )
    async def encode(data: JSONBody[ToEncode], request: Request) -> EncodedAudio:  # type: ignore[type-arg]
        """The body is JSON, msgpack or a multipart form. Needs a model with the capability `codec`."""
        async with until_departure(request.receive):
            encoded = await hub.encode(data.audio, model=data.model, request_id=request_id(request.scope))
        tokens = encoded.tokens
        return EncodedAudio(
            model=encoded.model,
            codebooks=tokens.codebooks,
            frames=tokens.frames,
            seconds=round(encoded.seconds, 4),
            tokens=tokens.rows,
        )

    return encode


def _decoding(hub: Hub) -> ControllerRouterHandler:
    @post(
        "/v1/codec/decode",
        status_code=200,
        operation_class=DecodeOperation,
        operation_id="decode_tokens",
        summary="Decode tokens to audio",
        tags=["codec"],
        responses=errors(*WORKING_ERRORS),
    )
    async def decode(data: JSONBody[ToDecode], request: Request) -> Response:  # type: ignore[type-arg]
        """Returns the complete audio. Needs a model with the capability `codec`."""
        check_format(data.format, hub.encoders)
        try:
            tokens = Tokens.from_rows(data.tokens)
        except ValueError:
            raise InvalidRequest(
                "tokens: the lists differ in length; give one id for each codebook and frame"
            ) from None
        async with until_departure(request.receive):
            decoded = await hub.decode(tokens, model=data.model, request_id=request_id(request.scope))
        return await audio_response(hub, request, decoded, data.format, stream=False)

    return decode
