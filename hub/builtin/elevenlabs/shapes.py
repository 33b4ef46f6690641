"""The bodies of ElevenLabs' API: requests, responses and errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from litestar import Request
from msgspec import Meta, Struct

from hub.api.http.errors import error_headers, to_hub_error
from hub.api.http.negotiate import HubResponse
from hub.contract.errors import HubError, InvalidRequest, UnsupportedCapability
from hub.contract.speech import AudioFormat, SpeechRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hub.audio.alignment import TimedCharacter

FORMATS = (
    *("mp3_22050_32", "mp3_24000_48", *(f"mp3_44100_{bitrate}" for bitrate in (32, 64, 96, 128, 192))),
    *(f"opus_48000_{bitrate}" for bitrate in (32, 64, 96, 128, 192)),
    *(f"pcm_{rate}" for rate in (8000, 16000, 22050, 24000, 32000, 44100, 48000)),
    *(f"wav_{rate}" for rate in (8000, 16000, 22050, 24000, 32000, 44100, 48000)),
    *("ulaw_8000", "alaw_8000"),
)
"""`output_format`: container, Hz, kbit/s."""

Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Neighbours = Annotated[tuple[str, ...], Meta(max_length=3)]


class VoiceSettings(Struct, kw_only=True, forbid_unknown_fields=True):
    """Settings of the voice. The hub uses `speed`; the others tune ElevenLabs' own models and change nothing here."""

    speed: Annotated[float, Meta(ge=0.25, le=4.0)] | None = None
    stability: Share | None = None
    similarity_boost: Share | None = None
    style: Share | None = None
    use_speaker_boost: bool | None = None
    clone_strength: Share | None = None


class DictionaryLocator(Struct, kw_only=True, forbid_unknown_fields=True):
    """A stored dictionary of the hub, which keeps no versions."""

    pronunciation_dictionary_id: str
    version_id: str | None = None


class TextToSpeech(Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of every /v1/text-to-speech route."""

    text: Annotated[str, Meta(description="what to say", examples=["Hello from the hub."])]
    model_id: (
        Annotated[str, Meta(description="a model of this hub; by default, and for eleven_...: one that has the voice")]
        | None
    ) = None
    language_code: Annotated[str, Meta(description="language of the text, such as en")] | None = None
    voice_settings: VoiceSettings | None = None
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)] | None = None
    previous_text: Annotated[str, Meta(description="a hint that changes nothing here")] | None = None
    next_text: Annotated[str, Meta(description="a hint that changes nothing here")] | None = None
    previous_request_ids: Neighbours | None = None
    next_request_ids: Neighbours | None = None
    use_pvc_as_ivc: bool | None = None
    apply_text_normalization: Literal["auto", "on", "off"] | None = None
    apply_language_text_normalization: bool | None = None
    pronunciation_dictionary_locators: Annotated[tuple[DictionaryLocator, ...], Meta(max_length=1)] | None = None
    audio_effects: dict[str, Any] | None = None


class CharacterAlignment(Struct, kw_only=True):
    """The times at which each character is heard, in seconds from the start of the audio."""

    characters: list[str]
    character_start_times_seconds: list[float]
    character_end_times_seconds: list[float]


class TimedAudio(Struct, kw_only=True):
    """Audio, and the characters whose times are now known."""

    audio_base64: str
    alignment: CharacterAlignment | None
    normalized_alignment: CharacterAlignment | None = None


class VoiceModel(Struct, kw_only=True):
    """A language that a voice speaks, and the model that speaks it."""

    language: str
    model_id: str


class ListedVoice(Struct, kw_only=True):
    """A voice, as ElevenLabs lists it. `high_quality_base_model_ids` are the models that can use it."""

    voice_id: str
    name: str
    category: Literal["premade", "cloned"] = "premade"
    description: str = ""
    labels: dict[str, str] = {}
    high_quality_base_model_ids: list[str] = []
    verified_languages: list[VoiceModel] = []
    samples: None = None
    preview_url: None = None
    available_for_tiers: list[str] = []
    settings: None = None


class VoiceList(Struct, kw_only=True):
    """All voices, or a page of them."""

    voices: list[ListedVoice]
    has_more: bool = False
    total_count: int
    next_page_token: str | None = None


class ModelLanguage(Struct, kw_only=True):
    """A language of a model."""

    language_id: str
    name: str


class ListedModel(Struct, kw_only=True):
    """A model, as ElevenLabs lists it."""

    model_id: str
    name: str
    description: str
    can_do_text_to_speech: bool = True
    can_do_voice_conversion: bool = False
    can_be_finetuned: bool = False
    can_use_style: bool = False
    can_use_speaker_boost: bool = False
    serves_pro_voices: bool = False
    token_cost_factor: float = 1.0
    maximum_text_length_per_request: int
    languages: list[ModelLanguage]


class Problem(Struct, kw_only=True, omit_defaults=True):
    """The cause of an error. `param` is the field at fault, if there is one."""

    type: str
    code: str
    status: str
    message: str
    param: str | None = None


class ElevenLabsError(Struct):
    """ElevenLabs' error body."""

    detail: Problem


def audio_format(name: str) -> AudioFormat:
    """Return the format that an `output_format` names. Raises InvalidRequest."""
    if name not in FORMATS:
        raise InvalidRequest(
            f"unknown output_format {name[:50]!r}; choose one of {', '.join(FORMATS)}",
            field="output_format",
            allowed=list(FORMATS),
        )
    container, rate, *bitrate = name.split("_")
    return AudioFormat(container=container, sample_rate=int(rate), bitrate=int(bitrate[0]) if bitrate else None)


def speech_request(data: TextToSpeech, model: str, voice: str, format: AudioFormat, *, stream: bool) -> SpeechRequest:
    """Return `data` as a SpeechRequest. Raises UnsupportedCapability for fields that cannot be honoured."""
    dictionaries = data.pronunciation_dictionary_locators or ()
    refused = {
        "pronunciation_dictionary_locators[0].version_id": any(one.version_id for one in dictionaries),
        "audio_effects": bool(data.audio_effects),
        "apply_text_normalization": data.apply_text_normalization not in (None, "auto"),
        "apply_language_text_normalization": bool(data.apply_language_text_normalization),
    }
    for field, asked in refused.items():
        if asked:
            raise UnsupportedCapability(f"this hub does not support {field}: leave it out", field=field)
    settings = data.voice_settings or VoiceSettings()
    return SpeechRequest(
        text=data.text,
        model=model,
        voice=voice,
        language=data.language_code or None,
        dictionary=dictionaries[0].pronunciation_dictionary_id if dictionaries else None,
        speed=settings.speed if settings.speed is not None else 1.0,
        seed=data.seed,
        format=format,
        stream=stream,
    )


def character_alignment(known: Iterable[TimedCharacter]) -> CharacterAlignment | None:
    """Return `known` in ElevenLabs' columns; None if it is empty."""
    columns = list(zip(*known, strict=True))
    if not columns:
        return None
    characters, starts, ends = columns
    return CharacterAlignment(
        characters=list(characters),
        character_start_times_seconds=[round(start, 4) for start in starts],
        character_end_times_seconds=[round(end, 4) for end in ends],
    )


_CODES = {
    "unknown_voice": "voice_not_found",
    "unknown_model": "model_not_found",
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "queue_full": "system_busy",
    "too_large": "text_too_long",
}
_TYPES = {400: "validation_error", 401: "authentication_error", 403: "authorization_error", 404: "not_found"}
_TYPES |= {413: "validation_error", 415: "validation_error", 429: "rate_limit_error"}
_PARAMS = {
    "format.container": "output_format",
    "format.sample_rate": "output_format",
    "format.bitrate": "output_format",
    "language": "language_code",
    "languages": "language_code",
    "speed": "voice_settings.speed",
}
_BLAMED = {"unknown_model": "model_id", "unknown_voice": "voice_id", "empty_text": "text", "unspeakable_text": "text"}


def elevenlabs_error(error: HubError) -> ElevenLabsError:
    """Return `error` in ElevenLabs' shape, with its code if it has one for the case, else the hub's."""
    code = _CODES.get(error.code, error.code)
    blamed = error.detail.get("field") or error.detail.get("capability") or _BLAMED.get(error.code)
    kind = _TYPES.get(error.status, "internal_error" if error.status >= 500 else "invalid_request")
    return ElevenLabsError(
        Problem(type=kind, code=code, status=code, message=error.message, param=_PARAMS.get(blamed or "", blamed))
    )


is_elevenlabs_model = re.compile(r"eleven_\w+").fullmatch
"""Matches ElevenLabs' own model names, which stand for the hub's models unless one has the name."""


def error_response(request: Request[Any, Any, Any], raised: Exception) -> HubResponse[Any]:
    """Report the exception; this is the routes' exception handler."""
    error = to_hub_error(raised, request)
    return HubResponse(elevenlabs_error(error), status_code=error.status, headers=error_headers(error))
