"""`/generate`, `/generate-stream` and `/generate-upload`."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler
from msgspec import Meta, Struct

from hub.api.family import model_of
from hub.api.http import sse
from hub.api.http.departure import until_departure
from hub.api.http.errors import to_hub_error
from hub.api.http.fields import Upload, as_struct, read_fields
from hub.api.respond import PackedSpeech, PartsResponse, open_speech, pack, speech_headers, speech_response
from hub.audio.pcm import to_s16
from hub.contract.errors import Cancelled, HubError
from hub.contract.event import AudioChunk, Done, Mark
from hub.contract.speech import AudioFormat, Reference, Sampling, SpeechRequest
from hub.text.speakable import clean
from hub_higgs_audio.capabilities import BACKEND
from hub_higgs_audio.options import CompatOptions
from hub_higgs_audio.routes.answers import answer, failure

if TYPE_CHECKING:
    from hub.plugin.host import Host
    from hub_higgs_audio.routes.voices import NamedVoices

log = logging.getLogger("hub.higgs_audio")

DEFAULT_SCENE = "quiet_indoor"
NO_SCENE = ("", "empty")

RESERVED = ("AUDIO", "ERROR:", "[DONE]")
"""The beginnings of events that are not text."""


class Sampled(Struct, kw_only=True):
    """The fields that all three routes share. `max_new_tokens` None is the model's own limit, 2048 by default."""

    text: Annotated[str, Meta(min_length=1)]
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = 0.7
    top_k: Annotated[int, Meta(ge=1, le=100)] | None = 50
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = 0.95
    max_new_tokens: Annotated[int, Meta(ge=1, le=4096)] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


class Asked(Sampled, kw_only=True):
    """The body of /generate and /generate-stream."""

    ref_audio: str | None = None
    scene_prompt: str | None = DEFAULT_SCENE
    ras_win_len: Annotated[int, Meta(ge=0, le=8192)] | None = 7
    ras_win_max_num_repeat: Annotated[int, Meta(ge=1, le=8192)] = 2
    chunk_method: Literal["speaker", "word", "sentence", "None"] | None = None
    chunk_max_word_num: Annotated[int, Meta(ge=1, le=10_000)] = 200
    chunk_max_num_turns: Annotated[int, Meta(ge=1, le=10_000)] = 1
    generation_chunk_buffer_size: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    ref_audio_in_system_message: bool = False


class Uploaded(Sampled, kw_only=True):
    """The form of /generate-upload."""

    ref_audio_file: Upload | None = None
    ref_text: str | None = None
    ref_text_file: Upload | None = None
    scene_prompt: str | None = None


class Generated(Struct, kw_only=True):
    """The answer of /generate."""

    success: bool
    message: str
    audio_base64: bytes
    sampling_rate: int
    duration: float
    generated_text: str


def routes(hub: Host, options: CompatOptions, voices: NamedVoices) -> list[HTTPRouteHandler]:
    """The handlers."""

    @post("/generate", status_code=200, summary="Speak, with the audio as base64")
    async def generate(request: Request[Any, Any, Any]) -> Response[bytes]:
        """A failure has `"success": false` and the status of its error, or 200 if the settings say so."""
        try:
            asked = as_struct(await read_fields(request), Asked)
            wanted = await speech_request(hub, options, voices, asked)
            audio, packed = await whole(hub, request, wanted)
        except Cancelled:
            raise
        except Exception as error:
            return failure(request, to_hub_error(error, request), as_200=options.failures_as_200)
        return answer(request, generated(audio, packed, asked.text), headers=speech_headers(packed))

    @post("/generate-stream", status_code=200, summary="Speak, as server-sent events")
    async def generate_stream(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Unnamed events: the text that begins, `AUDIO_FORMAT:` (JSON), `AUDIO:` (base64 of samples), `ERROR:`, and at
        the end, once, `[DONE]`. A failure before the first audio is an error with its own status.
        """
        asked = as_struct(await read_fields(request), Asked)
        wanted = await speech_request(hub, options, voices, asked)
        wanted.format, wanted.stream = AudioFormat(container="pcm"), True
        packed = await pack(hub, await open_speech(hub, request, wanted), wanted.format, whole=False)
        headers = {**speech_headers(packed), **sse.HEADERS, "Cache-Control": "no-cache"}  # as the original server
        parts = sse.with_pings(events(packed, _spoken(wanted)))
        return PartsResponse(parts, packed, media_type=sse.MEDIA_TYPE, headers=headers)

    @post("/generate-upload", status_code=200, summary="Speak like an uploaded recording")
    async def generate_upload(request: Request[Any, Any, Any]) -> Response[bytes]:
        """A multipart form. Without `ref_text` the model gets the recording without its transcript."""
        form = as_struct(await read_fields(request), Uploaded)
        response = await speech_response(hub, request, await upload_request(hub, options, form), stream=False)
        response.headers["Content-Disposition"] = "attachment; filename=generated_audio.wav"
        return response

    return [generate, generate_stream, generate_upload]


async def whole(hub: Host, request: Request[Any, Any, Any], wanted: SpeechRequest) -> tuple[bytes, PackedSpeech]:
    """A WAV file, and the speech that was packed in it."""
    packed = await pack(hub, await open_speech(hub, request, wanted), wanted.format, whole=True)
    try:
        async with until_departure(request.receive):
            return b"".join([part async for part in packed]), packed
    finally:
        await packed.aclose()


def generated(audio: bytes, packed: PackedSpeech, text: str) -> Generated:
    """The answer to a /generate that succeeded."""
    return Generated(
        success=True,
        message="音频生成成功",
        audio_base64=audio,
        sampling_rate=packed.encoder.sample_rate,
        duration=round(packed.seconds, 4),
        generated_text=text,
    )


async def upload_request(hub: Host, options: CompatOptions, form: Uploaded) -> SpeechRequest:
    """`form` as a request of the hub."""
    wanted = _request(hub, options, form, await _scene(hub, form.scene_prompt, explicit=True))
    if form.ref_audio_file is not None:
        said = form.ref_text or (form.ref_text_file.content.decode(errors="replace") if form.ref_text_file else "")
        wanted.references = (Reference(audio=form.ref_audio_file.content, text=said.strip() or None),)
    return wanted


async def speech_request(hub: Host, options: CompatOptions, voices: NamedVoices, asked: Asked) -> SpeechRequest:
    """`asked` as a request of the hub. Raises UnknownVoice, InvalidRequest."""
    speakers = await voices.speakers(asked.ref_audio, asked.text)
    scene = await _scene(hub, asked.scene_prompt, explicit=asked.scene_prompt != DEFAULT_SCENE)
    wanted = _request(hub, options, asked, scene)
    wanted.voice, wanted.references = speakers.voice, speakers.references
    if speakers.turns:
        wanted.text, wanted.turns = None, speakers.turns
    wanted.options = {
        "chunk_method": None if asked.chunk_method == "None" else asked.chunk_method,
        "chunk_max_word_num": asked.chunk_max_word_num,
        "chunk_max_num_turns": asked.chunk_max_num_turns,
        "ras_win_len": asked.ras_win_len or 0,
        "ras_win_max_num_repeat": asked.ras_win_max_num_repeat,
        "ref_audio_in_system_message": asked.ref_audio_in_system_message,
    }
    if asked.generation_chunk_buffer_size is not None:
        wanted.options["generation_chunk_buffer_size"] = asked.generation_chunk_buffer_size
    return wanted


def _request(hub: Host, options: CompatOptions, asked: Sampled, scene: str | None) -> SpeechRequest:
    sampling = Sampling(
        temperature=asked.temperature, top_k=asked.top_k, top_p=asked.top_p, max_new_tokens=asked.max_new_tokens
    )
    model = model_of(hub, BACKEND, options.model).name
    return SpeechRequest(text=asked.text, model=model, scene=scene, seed=asked.seed, sampling=sampling)


async def _scene(hub: Host, name: str | None, *, explicit: bool) -> str | None:
    """The id of a scene. The default one counts only if it exists; any other that does not is an UnknownScene later."""
    if name is None or name.strip() in NO_SCENE:
        return None
    if not explicit and all(scene.id != name for scene in await asyncio.to_thread(hub.scenes.list)):
        return None
    return name


def _spoken(wanted: SpeechRequest) -> str:
    """The text that spans of the audio refer to, as the hub reads it: for a dialogue its turns, one to a line."""
    return "\n".join(clean(text) for text in [turn.text for turn in wanted.turns] or [wanted.text or ""])


async def events(packed: PackedSpeech, text: str) -> AsyncGenerator[bytes, None]:
    """The events of a stream. The spans of the audio refer to `text`."""
    said: list[str] = []
    samples: list[bytes] = []
    last: tuple[int, int] | None = None

    def listen(event: AudioChunk | Mark | Done) -> None:
        nonlocal last
        if isinstance(event, AudioChunk):
            if event.span is not None and event.span != last:
                last = event.span
                said.append(text[slice(*event.span)])
            samples.append(to_s16(np.frombuffer(event.pcm, "<f4")).tobytes())

    packed.listener = listen
    rate = packed.speech.sample_rate
    yield _line(f'AUDIO_FORMAT:{{"encoding":"s16le","sampling_rate":{rate},"channels":1}}')
    try:
        async for _ in packed.events():
            for words in said:
                yield _line(_plain(words))
            for part in samples:
                yield _line("AUDIO:" + base64.b64encode(part).decode())
            said.clear()
            samples.clear()
    except Cancelled:
        raise
    except HubError as error:
        log.warning("request %s: fault after %.1f s of audio: %s", packed.speech.request_id, packed.seconds, error.code)
        yield _line("ERROR:" + " ".join(error.message.split()))
    yield _line("[DONE]")


def _plain(words: str) -> str:
    """A text as one line, for clients that read lines; one that looks like another event begins with a space."""
    line = " ".join(words.split())
    return f" {line}" if line.startswith(RESERVED) else line


def _line(data: str) -> bytes:
    """One event; `data` has no line breaks."""
    return sse.server_event(data.encode())
