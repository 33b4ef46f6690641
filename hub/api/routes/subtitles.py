"""POST /v1/speech/subtitles: speech with its subtitles."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from litestar import Request, Response, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, Reference, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromQuery, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Struct

from hub.api.http.departure import until_departure
from hub.api.http.negotiate import JSON, MSGPACK, MSGPACK_NAMES
from hub.api.http.openapi import SPEAKING_ERRORS, AudioOperation, errors, example
from hub.api.respond import PackedSpeech, open_speech, pack, speech_headers
from hub.audio.subtitles import subtitles
from hub.contract import errors as fault
from hub.contract.event import Mark
from hub.contract.speech import SpeechRequest
from hub.service.speech.marks import MarkedSpeech
from hub.text.spoken import spoken_text

if TYPE_CHECKING:
    from hub.service.hub import Hub

SUBTITLE_TYPES = {"srt": "application/x-subrip", "vtt": "text/vtt"}

Kind = Literal["srt", "vtt"]
Download = Literal["srt", "vtt", "audio", "wav", "zip"]


class SubtitledSpeech(Struct, kw_only=True):
    """A speech, its subtitles, and the marks that they are made from. `audio` is base64 in JSON, bytes in msgpack."""

    audio: bytes
    media_type: str
    sample_rate: int
    seconds: float
    model: str
    voice: str
    format: Kind
    subtitles: str
    marks: list[Mark]


class SubtitlesOperation(AudioOperation):
    """The documentation of the route."""

    examples = (example("Speak with subtitles", text="Hello from the hub. This is the second sentence."),)
    other_content = {
        JSON: OpenAPIMediaType(schema=Reference(ref="#/components/schemas/SubtitledSpeech")),
        **{kind: OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING)) for kind in SUBTITLE_TYPES.values()},
        "application/zip": OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)),
    }


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """Return the handlers."""

    @post(
        "/v1/speech/subtitles",
        status_code=200,
        operation_class=SubtitlesOperation,
        operation_id="speakSubtitles",
        summary="Speak, with SRT or WebVTT subtitles",
        tags=["speech"],
        responses={200: ResponseSpec(SubtitledSpeech, generate_examples=False)} | errors(*SPEAKING_ERRORS),
    )
    async def speak_subtitles(
        data: JSONBody[SpeechRequest],
        request: Request,  # type: ignore[type-arg]
        format: FromQuery[Kind] = "srt",
        download: FromQuery[Download | None] = None,
    ) -> Response:  # type: ignore[type-arg]
        """Returns audio, subtitles and marks together, as JSON, or as msgpack by Accept; with `download`, a file.

        The times of sentences are the model's own, or come from the audio of each; those of words are `estimated` where
        the model gives none.
        """
        if download == "wav" and data.format.container != "wav":
            raise fault.InvalidRequest(
                "download=wav needs format.container wav; download=audio takes any", field="download"
            )
        speech = await open_speech(hub, request, data)
        packed = await pack(hub, MarkedSpeech(speech, spoken_text(data), words=True), data.format, whole=True)
        audio, marks = await _finished(packed, request)
        return respond(request, packed, audio, marks, format, download)

    return [speak_subtitles]


async def _finished(packed: PackedSpeech, request: Request[Any, Any, Any]) -> tuple[bytes, list[Mark]]:
    """Return all audio and marks of a speech, and close it. Raises HubError."""
    marks: list[Mark] = []
    parts: list[bytes] = []
    try:
        async with until_departure(request.receive):
            async for event in packed.events():
                if isinstance(event, bytes):
                    parts.append(event)
                elif isinstance(event, Mark):
                    marks.append(event)
    finally:
        await packed.aclose()
    return b"".join(parts), marks


def respond(
    request: Request[Any, Any, Any],
    packed: PackedSpeech,
    audio: bytes,
    marks: list[Mark],
    format: Kind,
    download: Download | None,
) -> Response[bytes]:
    """Return the finished speech as requested: everything in one Struct, or a file to download."""
    encoder, speech = packed.encoder, packed.speech
    headers = speech_headers(packed)
    if download is None:
        body = SubtitledSpeech(
            audio=audio,
            media_type=encoder.media_type,
            sample_rate=encoder.sample_rate,
            seconds=round(packed.seconds, 4),
            model=speech.model,
            voice=speech.voice,
            format=format,
            subtitles=subtitles(marks, format),
            marks=marks,
        )
        if request.accept.best_match([JSON, *MSGPACK_NAMES], JSON) != JSON:
            return Response(msgspec.msgpack.encode(body), media_type=MSGPACK, headers=headers)
        return Response(msgspec.json.encode(body), media_type=JSON, headers=headers)
    name: str
    if download in ("srt", "vtt"):
        name, content, media_type = download, subtitles(marks, download).encode(), SUBTITLE_TYPES[download]
    elif download == "zip":
        files = {encoder.extension: audio, **{kind: subtitles(marks, kind).encode() for kind in SUBTITLE_TYPES}}
        name, content, media_type = "zip", _zip(files), "application/zip"
    else:
        name, content, media_type = encoder.extension, audio, encoder.media_type
    headers["Content-Disposition"] = f'attachment; filename="speech.{name}"'
    return Response(content, media_type=media_type, headers=headers)


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # stored, not deflated: audio does not compress
        for extension, content in files.items():
            archive.writestr(f"speech.{extension}", content)
    return buffer.getvalue()
