"""The options of the tone backend: of requests, and of loading."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from hub.contract.errors import InvalidRequest

_Options = TypeVar("_Options", bound=Struct)


class ToneOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Request options. Chunks are counted from 0."""

    chunk_ms: Annotated[int, Meta(ge=1, le=1000, description="length of a chunk; at least one symbol")] = 100
    paced: Annotated[bool, Meta(description="send chunks at playing speed instead of as fast as possible")] = False
    lead_ms: Annotated[int, Meta(ge=0, description="how far a paced stream runs ahead of its player")] = 100
    step_ms: Annotated[float, Meta(ge=0, description="simulated work for each chunk")] = 0.0
    seconds: (
        Annotated[float, Meta(gt=0, le=100_000, description="play a hum of this length instead of the text")] | None
    ) = None
    marks: Annotated[bool, Meta(description="a mark for each word")] = False
    fail_at: Annotated[int, Meta(ge=0, description="raise an unexpected error before this chunk")] | None = None
    crash_at: Annotated[int, Meta(ge=0, description="kill the worker process before this chunk")] | None = None
    hang_at: Annotated[int, Meta(ge=0, description="block for ever before this chunk, ignoring stop")] | None = None
    full_at: Annotated[int, Meta(ge=0, description="run out of the device's memory before this chunk")] | None = None
    break_at: Annotated[int, Meta(ge=0, description="break the device before this chunk, for good")] | None = None
    silent: Annotated[bool, Meta(description="samples of zero")] = False
    nan: Annotated[bool, Meta(description="samples that are not a number")] = False
    empty: Annotated[bool, Meta(description="no audio at all")] = False


class ToneLoadOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[models.NAME.options]`."""

    load_seconds: Annotated[float, Meta(ge=0)] = 0.0
    fail_load: bool = False
    crash_load: bool = False
    concurrency: Annotated[int, Meta(ge=1)] = 16
    live_text: Annotated[bool, Meta(description="read text as it arrives (`speak_live`)")] = False
    dialogue: Annotated[bool, Meta(description="play all turns of a dialogue at once")] = False
    phonemes: Annotated[bool, Meta(description="play /phonemes/, as any other text")] = False
    mixing: Annotated[bool, Meta(description="blend voices: the pitch between theirs")] = False
    prepared_suffices: Annotated[bool, Meta(description="speak as a stored voice without its recordings")] = False
    device_memory: Annotated[int, Meta(ge=0, description="bytes that it says to hold of its device")] | None = None
    codec: Annotated[bool, Meta(description="tokens are the two bytes of each 16-bit sample")] = False
    codec_seconds: Annotated[float, Meta(ge=0, description="simulated work for each call of the codec")] = 0.0
    conversion: Annotated[bool, Meta(description="play the text of a tone again, with another voice")] = False


def read_options(options: dict[str, Any], kind: type[_Options]) -> _Options:
    """Return `options` as a Struct. Raises InvalidRequest."""
    try:
        return msgspec.convert(options, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"options of the tone backend: {error}") from error
