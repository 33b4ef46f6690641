"""Requests for voice conversion: a recording, said again by another voice."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from hub.contract.speech import AudioFormat, Reference


class ConversionRequest(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A recording, and the voice to say it with: `voice` or `references`.

    Words, pace and pauses come from the recording. The hub refuses what the chosen model cannot do.
    """

    audio: Annotated[bytes, Meta(description="the recording: wav, flac, mp3, ogg, m4a, ... (base64 in JSON)")]
    model: Annotated[str, Meta(description="model name; default: the hub's default model")] | None = None
    voice: Annotated[str, Meta(description="voice id; default: the model's default voice")] | None = None
    references: Annotated[
        tuple[Reference, ...], Meta(max_length=16, description="recordings to sound like, instead of a voice")
    ] = ()
    speed: Annotated[float, Meta(ge=0.25, le=4.0, description="1.0 is the recording's own pace")] = 1.0
    seed: (
        Annotated[int, Meta(ge=0, le=2**63 - 1, description="the same request with the same seed gives the same audio")]
        | None
    ) = None
    format: AudioFormat = AudioFormat()
    stream: Annotated[bool, Meta(description="send audio while it is generated")] = False
    options: Annotated[
        dict[str, Any], Meta(description="the backend's own options; their schema is in GET /v1/backends")
    ] = {}


class ResolvedConversion(ConversionRequest, kw_only=True, omit_defaults=True):
    """A ConversionRequest as `Converter.convert` gets it, with all names looked up.

    `audio` and the references are mono 32-bit float WAV at their own sample rates. A stored voice has become
    `references` (and `prepared`, see `ResolvedRequest`); `voice` is then None, else a preset of the model.
    """

    prepared: bytes | None = None
