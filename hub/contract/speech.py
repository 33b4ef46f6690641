"""Requests to speak: one utterance or one dialogue.

Every Struct here refuses unknown fields, so that a misspelt field is an error and never silently
ignored, and omits defaults when encoded, so that a worker built against an older hub meets a new
field only when a request uses it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Container = Literal["wav", "pcm", "mp3", "opus", "aac", "flac"]
"""The built-in audio containers; plugins may register more (`register_encoders`)."""

Encoding = Literal["s16le", "f32le"]
"""Sample encodings of `wav` and `pcm`: 16-bit signed or 32-bit float, little-endian."""


class AudioFormat(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The audio format of the answer.

    `sample_rate` (Hz) defaults to the model's own rate, or the nearest rate above it that the
    container can carry. `bitrate` (kbit/s) applies to mp3, opus and aac.
    """

    container: Annotated[
        str, Meta(description="wav, pcm, mp3, opus, aac, flac, or one that a plugin registered", examples=["wav"])
    ] = "wav"
    sample_rate: Annotated[int, Meta(ge=4000, le=192_000, description="Hz; default: the model's own rate")] | None = (
        None
    )
    encoding: Annotated[Encoding, Meta(description="sample encoding of wav and pcm")] = "s16le"
    bitrate: Annotated[int, Meta(ge=8, le=512, description="kbit/s, for mp3, opus and aac")] | None = None


class Sampling(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Token sampling of autoregressive models; None keeps the model's own default."""

    temperature: Annotated[float, Meta(ge=0.0, le=5.0)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    top_p: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    repetition_penalty: Annotated[float, Meta(ge=0.1, le=10.0)] | None = None
    max_new_tokens: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None


class Reference(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A recording to speak like, with its transcript.

    In a caller's request, `audio` is any audio file (bytes; base64 in JSON). A synthesizer always gets mono 32-bit
    float WAV at the recording's own sample rate: the hub has decoded and checked it.
    """

    audio: Annotated[bytes, Meta(description="an audio file: wav, flac, mp3, ogg, m4a, ... (base64 in JSON)")]
    text: Annotated[str, Meta(description="transcript of the recording")] | None = None
    language: str | None = None


class Turn(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One speaker's turn in a dialogue."""

    text: str
    speaker: Annotated[str, Meta(description="speaker tag; turns with one tag share one voice")] | None = None
    voice: Annotated[str, Meta(description="voice id of this turn's speaker")] | None = None
    instruct: str | None = None


class SpeechRequest(Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One utterance (`text`) or one dialogue (`turns`), and how to say it.

    The hub refuses what the chosen model cannot do (`unsupported_capability`); it ignores nothing.
    """

    text: Annotated[str, Meta(description="what to say", examples=["Hello from the hub."])] | None = None
    turns: Annotated[tuple[Turn, ...], Meta(description="a dialogue, instead of text")] = ()
    model: Annotated[str, Meta(description="model name; default: the hub's default model")] | None = None
    voice: Annotated[str, Meta(description="voice id; default: the model's default voice")] | None = None
    references: Annotated[
        tuple[Reference, ...], Meta(max_length=16, description="recordings to speak like, instead of a voice")
    ] = ()
    scene: Annotated[str, Meta(description="scene id")] | None = None
    gap: Annotated[float, Meta(ge=0.0, le=10.0, description="seconds of silence between turns")] | None = None
    pronunciations: Annotated[
        dict[str, str], Meta(description="word -> how to write it instead, or /phonemes/ where the model reads them")
    ] = {}
    dictionary: Annotated[str, Meta(description="id of a stored pronunciation dictionary")] | None = None
    instruct: Annotated[str, Meta(description="how to say it, in words")] | None = None
    language: Annotated[str, Meta(description="BCP 47 tag, such as en or zh-CN")] | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4.0, description="1.0 is the model's natural pace")] = 1.0
    seed: (
        Annotated[int, Meta(ge=0, le=2**63 - 1, description="the same request with the same seed gives the same audio")]
        | None
    ) = None
    sampling: Sampling = Sampling()
    format: AudioFormat = AudioFormat()
    stream: Annotated[bool, Meta(description="send audio while it is generated")] = False
    options: Annotated[
        dict[str, Any], Meta(description="the backend's own options; their schema is in GET /v1/backends")
    ] = {}


class CastVoice(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One voice as a synthesizer gets it: a preset of the model (`voice`), or references with their prepared state.

    `prepared` is what `Synthesizer.make_voice` returned for exactly these references; None if it returned nothing.
    """

    voice: str | None = None
    references: tuple[Reference, ...] = ()
    prepared: bytes | None = None


class VoicePart(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A voice and its share of a mixture; the `weight`s of a mixture add up to 1."""

    voice: CastVoice
    weight: float


class ResolvedRequest(SpeechRequest, kw_only=True, omit_defaults=True):
    """A SpeechRequest as `Synthesizer.speak` gets it, with all names looked up.

    A stored voice has become `references` (and `prepared`), a mixture `prepared` alone; `voice` is then None. If the
    model declares `prepared_suffices` and `prepared` is set, the references have texts and no audio. `cast` holds the
    voices of a dialogue by speaker tag, and `speaker` is set in each of its `turns`; `scene_text` is the scene's
    description.
    """

    prepared: bytes | None = None
    cast: dict[str, CastVoice] = {}
    scene_text: str | None = None

    @classmethod
    def of(cls, request: SpeechRequest) -> ResolvedRequest:
        """Return `request` unchanged as a ResolvedRequest, for a request without names to look up."""
        if isinstance(request, ResolvedRequest):
            return request
        return cls(**{name: getattr(request, name) for name in SpeechRequest.__struct_fields__})
