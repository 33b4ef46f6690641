"""Bodies and answers of Fish Speech's own API, with the ranges of its document."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from litestar import Request
from msgspec import Meta, Struct

from hub.api.http.fields import as_struct, read_fields
from hub.contract.errors import InvalidRequest, UnsupportedMediaType

Container = Literal["wav", "pcm", "mp3", "opus", "flac", "aac"]
Unit = Annotated[float, Meta(ge=0.1, le=1.0)]

SHORTEST_BASE64 = 256
"""Characters. A shorter text in JSON is taken for the bytes themselves, as in the vendor's server."""

T = TypeVar("T", bound=Struct)


class ReferenceAudio(Struct, kw_only=True):
    """A recording and its transcript."""

    audio: bytes
    text: str


class Prosody(Struct, kw_only=True, frozen=True):
    """Effects of the vendor's cloud. Only the natural volume is supported."""

    speed: Annotated[float, Meta(ge=0.25, le=4.0)] = 1.0
    volume: float = 0.0


class Generate(Struct, kw_only=True):
    """The fields of both ways to generate. None: the model's own value holds."""

    text: str
    chunk_length: Annotated[int, Meta(ge=100, le=1000)] | None = None
    references: Annotated[list[ReferenceAudio], Meta(max_length=16)] = []
    reference_id: str | None = None
    seed: int | None = None
    use_memory_cache: Literal["on", "off"] = "off"
    normalize: bool = True
    max_new_tokens: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    top_p: Unit | None = None
    repetition_penalty: Annotated[float, Meta(ge=0.9, le=2.0)] | None = None
    temperature: Unit | None = None


class TTSBody(Generate, kw_only=True):
    """`POST /v1/tts`, and `request` of the websocket: the fields of the server and of the vendor's SDK."""

    format: Container = "wav"
    streaming: bool | None = None
    latency: str = "normal"
    prosody: Prosody = Prosody()
    sample_rate: Annotated[int, Meta(ge=4000, le=192_000)] | None = None
    mp3_bitrate: Annotated[int, Meta(ge=8, le=320)] | None = None
    opus_bitrate: int | None = None


class TaskBody(Generate, kw_only=True):
    """`POST /generate_audio_enhanced_async`."""

    step_id: Annotated[str, Meta(pattern=r"^[^/\x00-\x1f\x7f]{1,200}$")]
    format: Container = "mp3"


class EncodeBody(Struct, kw_only=True):
    """`POST /v1/vqgan/encode`."""

    audios: Annotated[list[bytes], Meta(max_length=64)]


class DecodeBody(Struct, kw_only=True):
    """`POST /v1/vqgan/decode`: tokens by audio, codebook and frame."""

    tokens: Annotated[list[list[list[Annotated[int, Meta(ge=0)]]]], Meta(max_length=64)]


class AddBody(Struct, kw_only=True):
    """`POST /v1/references/add`."""

    id: str = ""
    audio: bytes = b""
    text: str = ""


class DeleteBody(Struct, kw_only=True):
    """`DELETE /v1/references/delete`."""

    reference_id: str = ""


class UpdateBody(Struct, kw_only=True):
    """`POST /v1/references/update`."""

    old_reference_id: str = ""
    new_reference_id: str = ""


async def read_body(request: Request[Any, Any, Any], kind: type[T]) -> T:
    """The body as a `kind`: msgpack, JSON or a form; null counts as left out. Raises HubError."""
    try:
        fields = await read_fields(request)
    except UnsupportedMediaType as error:
        error.message += ", or multipart/form-data"
        raise
    return as_body(fields, kind)


def as_body(fields: Mapping[str, Any], kind: type[T]) -> T:
    """Fields that have been read, as a `kind`. Raises Unprocessable, InvalidRequest."""
    found = {name: value for name, value in fields.items() if value is not None}
    if isinstance(prosody := found.get("prosody"), dict):
        found["prosody"] = {name: value for name, value in prosody.items() if value is not None}
    if "references" in kind.__struct_fields__:
        found["references"] = _references(found)
    for name in ("audio", "audios"):
        if name in found and name in kind.__struct_fields__:
            found[name] = _whole_bytes(found[name])
    return as_struct(found, kind)


def _references(fields: dict[str, Any]) -> Any:
    """`references`; a form has them as JSON, or as files `reference_audio` with `reference_text`, in their order."""
    found = fields.pop("references", [])
    if isinstance(found, str):
        try:
            found = msgspec.json.decode(found) or []
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidRequest(f"references: this is not valid JSON: {error}") from error
    if isinstance(found, dict):
        found = [found]
    if isinstance(found, list):
        found = [{**one, "audio": _bytes(one.get("audio"))} if isinstance(one, dict) else one for one in found]
    files, texts = (_listed(fields.get(name)) for name in ("reference_audio", "reference_text"))
    if not files or not isinstance(found, list):
        return found
    if len(texts) != len(files):
        raise InvalidRequest(f"there are {len(files)} reference_audio and {len(texts)} reference_text: give as many")
    contents = [getattr(file, "content", file) for file in files]
    return [*found, *({"audio": _bytes(audio), "text": text} for audio, text in zip(contents, texts, strict=True))]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _bytes(audio: Any) -> Any:
    """A recording in JSON as bytes: decoded base64 if the text is long enough and decodes, else the text itself."""
    if not isinstance(audio, str):
        return audio
    if len(audio) >= SHORTEST_BASE64:
        try:
            return base64.b64decode(audio)
        except (binascii.Error, ValueError):
            pass
    return audio.encode("utf-8", "replace")


def _whole_bytes(audio: Any) -> Any:
    """A recording in JSON as bytes, in a field that holds nothing else: base64 of any length is decoded."""
    if isinstance(audio, list):
        return [_whole_bytes(one) for one in audio]
    if not isinstance(audio, str):
        return getattr(audio, "content", audio)
    try:
        return base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        return audio.encode("utf-8", "replace")


class Outcome(Struct, kw_only=True):
    """The fields of all answers about references and tasks."""

    success: bool
    message: str


class OneReference(Outcome, kw_only=True):
    """The answer of add and delete."""

    reference_id: str


class AllReferences(Outcome, kw_only=True):
    """The answer of list."""

    reference_ids: list[str]


class RenamedReference(Outcome, kw_only=True):
    """The answer of update."""

    old_reference_id: str
    new_reference_id: str


class Accepted(Outcome, kw_only=True):
    """The answer to a new task."""

    step_id: str
    status: str


class TaskStatus(Struct, kw_only=True):
    """The state of a task. Times are seconds since the epoch."""

    success: bool
    step_id: str
    status: str
    created_at: float | None = None
    started_at: float | None = None
    completed_at: float | None = None
    download_url: str | None = None
    error: str | None = None


class Stopped(Outcome, kw_only=True):
    """The answer of stop."""

    step_id: str | None = None


class TokenLists(Struct, kw_only=True):
    """The answer of encode."""

    tokens: list[list[list[int]]]


class Audios(Struct, kw_only=True):
    """The answer of decode: samples as little-endian float16."""

    audios: list[bytes]
