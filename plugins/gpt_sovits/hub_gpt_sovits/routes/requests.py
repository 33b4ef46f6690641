"""The requests of both dialects, and the hub's requests that they become."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from hub.api.http.fields import Upload
from hub.contract.speech import AudioFormat, Reference, Sampling, SpeechRequest
from hub_gpt_sovits.routes.answers import Refused
from hub_gpt_sovits.routes.state import Prompt, State
from hub_gpt_sovits.routes.words import CONTAINERS, CUT_METHODS, cut_at, language_of, streaming_of


class Spoken(Struct, kw_only=True):
    """The parameters of `/tts`. Those with None have no default here; a message names the one that is missing."""

    text: str | None = None
    text_lang: str | None = None
    ref_audio_path: str | None = None
    ref_audio: Upload | None = None
    aux_ref_audio_paths: list[str] | None = None
    aux_ref_audio: list[Upload] | None = None
    prompt_text: str | None = None
    prompt_lang: str | None = None
    target_voice: str | None = None
    top_k: int = 15
    top_p: float = 1.0
    temperature: float = 1.0
    text_split_method: str = "cut5"
    batch_size: Annotated[int, Meta(ge=1)] = 1
    batch_threshold: float = 0.75
    split_bucket: bool = True
    speed_factor: float = 1.0
    fragment_interval: float = 0.3
    seed: int | None = -1
    media_type: str = "wav"
    streaming_mode: str | int | float | bool = False
    parallel_infer: bool = True
    repetition_penalty: float = 1.35
    sample_steps: int = 32
    super_sampling: bool = False
    overlap_length: int = 2
    min_chunk_length: int = 16


class FirstDialect(Struct, kw_only=True):
    """The parameters of the first API's `/`."""

    text: str | None = None
    text_language: str | None = None
    refer_wav_path: str | None = None
    ref_audio: Upload | None = None
    prompt_text: str | None = None
    prompt_language: str | None = None
    cut_punc: str | None = None
    top_k: int = 15
    top_p: float = 1.0
    temperature: float = 1.0
    speed: float = 1.0
    inp_refs: list[str] | None = None
    sample_steps: int = 32
    if_sr: bool = False
    media_type: Literal["wav", "ogg", "aac", "raw"] = "wav"


SAME = (
    "text_split_method", "batch_size", "batch_threshold", "split_bucket", "parallel_infer", "fragment_interval",
    "min_chunk_length", "overlap_length", "sample_steps", "super_sampling",
)  # fmt: skip
"""Parameters of `/tts` that are options of the hub's requests, by the same names."""

V1_NAMES = ("text_language", "refer_wav_path", "prompt_language", "cut_punc", "inp_refs", "if_sr")


def is_first_dialect(fields: dict[str, Any]) -> bool:
    """True if `fields` has names that only the first dialect has, and none that only the newer one has."""
    return any(name in fields for name in V1_NAMES) and not {"text_lang", "ref_audio_path"} & set(fields)


async def speech_request(state: State, asked: Spoken) -> SpeechRequest:
    """`asked` as a request of the hub. Raises Refused with the messages of the family's own server, in its order."""
    prompt = state.prompt
    path = asked.ref_audio_path or asked.target_voice or prompt.path
    if not path and asked.ref_audio is None:
        raise Refused("ref_audio_path is required")
    if not asked.text:
        raise Refused("text is required")
    text_lang = _language(
        state, asked.text_lang, "text_lang", state.options.text_language if asked.target_voice else ""
    )
    own = not asked.ref_audio_path and asked.ref_audio is None and not asked.target_voice
    prompt_lang = _language(
        state, asked.prompt_lang, "prompt_lang", prompt.language if own else asked.target_voice and "auto"
    )
    container = _container(asked.media_type)
    if asked.text_split_method not in CUT_METHODS:
        raise Refused(f"text_split_method:{asked.text_split_method[:100]} is not supported")
    streaming = streaming_of(asked.streaming_mode)
    said = asked.prompt_text if asked.prompt_text is not None or not own else prompt.text
    main = await _reference(state, path, asked.ref_audio, said)
    others = [await _reference(state, name, None, "") for name in asked.aux_ref_audio_paths or () if name]
    others += [await _reference(state, "", upload, "") for upload in asked.aux_ref_audio or ()]
    return SpeechRequest(
        text=asked.text,
        model=state.model().name,
        references=(main, *others),
        speed=asked.speed_factor,
        seed=None if asked.seed is None or asked.seed < 0 else asked.seed,
        sampling=_sampling(asked.top_k, asked.top_p, asked.temperature, asked.repetition_penalty),
        format=container,
        stream=streaming > 0,
        options={
            **{name: getattr(asked, name) for name in SAME},
            "text_lang": text_lang,
            "prompt_lang": prompt_lang,
            "streaming_mode": streaming,
            **weights(state),
        },
    )


async def first_dialect_request(state: State, asked: FirstDialect) -> SpeechRequest:
    """The same for the first dialect. Without a complete recording it uses that of /change_refer or the settings."""
    default = state.prompt
    given = asked.ref_audio is not None or bool(asked.refer_wav_path)
    whole = given and asked.prompt_text and asked.prompt_language
    if not whole and not (default.path and default.language):
        raise Refused("未指定参考音频且接口无预设")
    prompt = Prompt(asked.refer_wav_path or "", asked.prompt_text or "", asked.prompt_language or "")
    prompt = prompt if whole else default
    if not asked.text:
        raise Refused("text is required")
    text_lang = _language(state, asked.text_language, "text_language", state.options.text_language)
    prompt_lang = _language(state, prompt.language, "prompt_language", "")
    main = await _reference(state, prompt.path, asked.ref_audio if whole else None, prompt.text)
    others = [await _reference(state, name, None, "") for name in asked.inp_refs or () if name]
    return SpeechRequest(
        text=cut_at(asked.text, asked.cut_punc or ""),
        model=state.model().name,
        references=(main, *others),
        speed=asked.speed,
        sampling=_sampling(asked.top_k, asked.top_p, asked.temperature, None),
        format=AudioFormat(container=CONTAINERS[asked.media_type].container),
        stream=asked.media_type != "wav",
        options={
            "text_lang": text_lang,
            "prompt_lang": prompt_lang,
            "text_split_method": "cut0",
            "sample_steps": asked.sample_steps,
            "super_sampling": asked.if_sr,
            **weights(state),
        },
    )


def weights(state: State) -> dict[str, str]:
    """The weights that were set, as options of a request."""
    return {name: value for name, value in (("gpt", state.gpt), ("sovits", state.sovits)) if value}


def _language(state: State, value: str | None, field: str, default: str | None) -> str:
    """Raises Refused."""
    value = value or default
    if not value:
        raise Refused(f"{field} is required")
    found = language_of(value)
    if found is None:
        version = state.version()
        raise Refused(f"{field}: {value[:100]} is not supported" + (f" in version {version}" if version else ""))
    return found


def _sampling(top_k: int, top_p: float, temperature: float, penalty: float | None) -> Sampling:
    return Sampling(top_k=top_k, top_p=top_p, temperature=temperature, repetition_penalty=penalty)


def _container(media_type: str) -> AudioFormat:
    name = "wav" if media_type == "auto" else media_type.lower()
    if name not in CONTAINERS:
        raise Refused(f"media_type: {media_type[:100]} is not supported")
    return CONTAINERS[name]


async def _reference(state: State, path: str, upload: Upload | None, text: str | None) -> Reference:
    """A recording that was sent or is named. Without a `text` it has the transcript that is kept with it."""
    if upload is not None:
        return Reference(audio=upload.content, text=text or None)
    found = await state.recordings.find(path)
    if found.text and text == PurePosixPath(path).stem:
        text = None  # SillyTavern sends a voice's name in place of its transcript
    return Reference(audio=found.audio, text=(found.text if text is None else text) or None)
