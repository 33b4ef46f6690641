"""OpenAI's chat completions with audio, as boson's own server offers them: POST /v1/chat/completions.

The messages are the model's conversation: recordings in an assistant's messages are the voice that answers, and the
last message is the text that it says. The answer is audio alone; its `transcript` is that text.
"""

from __future__ import annotations

import logging
import math
import re
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody
from msgspec import Meta, Struct

from hub.api.family import model_of
from hub.api.http import sse
from hub.api.http.departure import until_departure
from hub.api.http.negotiate import JSON
from hub.api.mount import YIELDS, shaped
from hub.api.respond import PackedSpeech, PartsResponse, open_speech, pack, speech_headers
from hub.builtin.openai.models import ModelList, model_list
from hub.builtin.openai.names import VOICE_ALIASES
from hub.builtin.openai.shapes import error_response, openai_error
from hub.contract.errors import Cancelled, HubError, InvalidRequest, UnsupportedCapability
from hub.contract.event import AudioChunk, Done, Mark
from hub.contract.speech import AudioFormat, Sampling, SpeechRequest
from hub.text.speakable import clean
from hub_higgs_audio.capabilities import BACKEND
from hub_higgs_audio.options import CompatOptions
from hub_higgs_audio.routes.messages import ChatMessage, chat_of

if TYPE_CHECKING:
    from hub.plugin.host import Host, HostModel

log = logging.getLogger("hub.higgs_audio")

PATH = "/v1/chat/completions"
MODEL_ALIAS = re.compile(r"gpt-(?:audio|4o(?:-mini)?-audio)(?:-mini)?(?:-preview)?(?:-\d[\d-]*)?").fullmatch
"""OpenAI's names for its models that answer with audio."""

ENDS = frozenset({"<|eot_id|>", "<|end_of_text|>", "<|audio_eos|>", "<|eom_id|>"})
"""The tokens that end any answer, and the only ones that `stop` may name."""

TOKENS_A_SECOND = 25


class ChatAudio(Struct, kw_only=True, forbid_unknown_fields=True):
    """The container of the audio, and the voice where no recording is one."""

    format: Literal["wav", "mp3", "flac", "opus", "aac", "pcm16"] | None = None
    voice: str | None = None


class StreamOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Options of a stream. With `include_usage` a last event counts tokens."""

    include_usage: bool = False
    include_obfuscation: bool | None = None


class CreateChatCompletion(Struct, kw_only=True, forbid_unknown_fields=True):
    """The body: OpenAI's fields, vLLM's `top_k`, and the hub's `options`."""

    model: Annotated[str, Meta(description="a Higgs Audio model of this hub, or one of OpenAI's names for such models")]
    messages: Annotated[list[ChatMessage], Meta(description="the conversation; the last message is what is spoken")]
    modalities: list[Literal["text", "audio"]] | None = None
    audio: ChatAudio | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=100_000, description="0 or -1: no limit")] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None
    stop: str | list[str] | None = None
    n: Annotated[int, Meta(ge=1, le=1)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=0, le=0)] | None = None
    presence_penalty: Annotated[float, Meta(ge=0, le=0)] | None = None
    user: Annotated[str, Meta(description="ignored")] | None = None
    metadata: Annotated[dict[str, Any], Meta(description="ignored")] | None = None
    store: Annotated[bool, Meta(description="ignored; nothing is kept")] | None = None
    options: Annotated[dict[str, Any], Meta(description="the backend's options, as in POST /v1/speech")] = {}


def routes(hub: Host, options: CompatOptions) -> list[HTTPRouteHandler]:
    """The handlers; they report errors in OpenAI's shape."""
    started = int(time.time())

    @post(PATH, status_code=200, summary="Answer a conversation with speech, as in OpenAI's API")
    async def create_chat_completion(
        data: JSONBody[CreateChatCompletion],
        request: Request,
    ) -> Response[bytes]:
        """One answer as JSON, or with `stream` as events whose `delta.audio.data` is audio; `[DONE]` is the last."""
        model = find_model(hub, data.model, options)
        wanted = speech_request(data, model.name)
        speech = await open_speech(hub, request, wanted)
        packed = await pack(hub, speech, wanted.format, whole=not wanted.stream)
        answer = Answer(data, packed, clean(wanted.text or ""))
        headers = speech_headers(packed)
        if wanted.stream:
            return PartsResponse(answer.events(), packed, media_type=sse.MEDIA_TYPE, headers=headers | sse.HEADERS)
        try:
            async with until_departure(request.receive):
                audio = b"".join([part async for part in packed])
        finally:
            await packed.aclose()
        return Response(msgspec.json.encode(answer.whole(audio)), media_type=JSON, headers=headers)

    @get("/v1/models", opt=YIELDS, summary="List the models that answer, as in OpenAI's API")
    async def list_chat_models() -> ModelList:
        """Returns the models of this family, for clients that look for one first."""
        return model_list([model for model in hub.models if model.spec.name == BACKEND], started)

    return shaped([create_chat_completion, list_chat_models], error_response)


def find_model(hub: Host, name: str, options: CompatOptions) -> HostModel:
    """The model of this name, which must belong to this family. Raises UnknownModel, UnsupportedCapability."""
    if MODEL_ALIAS(name) and name not in {model.name for model in hub.models}:
        return model_of(hub, BACKEND, options.model)
    if not name:
        raise InvalidRequest("`model` is empty; GET /v1/models lists the models", field="model")
    model = hub.models.get(name)
    if model.spec.name != BACKEND:
        raise UnsupportedCapability(
            f"model {name[:100]!r} takes no conversation; only models of the backend {BACKEND} do; send a text to "
            "POST /v1/audio/speech",
            field="model",
        )
    return model


def speech_request(data: CreateChatCompletion, model: str) -> SpeechRequest:
    """`data` as a request of the hub. Raises InvalidRequest, UnsupportedCapability."""
    if data.modalities is not None and "audio" not in data.modalities:
        raise UnsupportedCapability(
            'this model answers with audio: send `modalities` as ["text", "audio"], or leave it out', field="modalities"
        )
    if unknown := set([data.stop] if isinstance(data.stop, str) else data.stop or ()) - ENDS:
        raise UnsupportedCapability(
            f"audio ends where the model ends it; `stop` may name {', '.join(sorted(ENDS))}, not {min(unknown)[:50]!r}",
            field="stop",
        )
    chat = chat_of(data.messages)
    voice = data.audio.voice if data.audio is not None else None
    options = dict(data.options)
    if voice is not None and voice not in VOICE_ALIASES:
        if chat.lines:
            raise InvalidRequest(
                "`audio.voice` is for a single message; the voice of a conversation is that of its recordings",
                field="audio.voice",
            )
    elif chat.lines:
        voice, options["conversation"] = None, chat.lines
    else:
        voice = None
    return SpeechRequest(
        text=chat.text,
        model=model,
        voice=voice,
        references=chat.references,
        seed=data.seed,
        sampling=Sampling(
            temperature=data.temperature,
            top_p=data.top_p,
            top_k=None if data.top_k is None else max(0, data.top_k),
            max_new_tokens=data.max_completion_tokens or data.max_tokens,
        ),
        format=_format(data),
        stream=bool(data.stream),
        options=options,
    )


def _format(data: CreateChatCompletion) -> AudioFormat:
    """The requested format; by default WAV, and for a stream 16-bit samples."""
    asked = (data.audio.format if data.audio is not None else None) or ("pcm16" if data.stream else "wav")
    if data.stream and asked == "wav":
        raise UnsupportedCapability("a stream cannot be WAV: use pcm16", field="audio.format")
    return AudioFormat(container="pcm" if asked == "pcm16" else asked)


class Answer:
    """One answer, whole or as events, to a request that speaks `text`."""

    def __init__(self, data: CreateChatCompletion, packed: PackedSpeech, text: str) -> None:
        self._packed, self._text, self._id = packed, text, packed.speech.request_id
        self._model = packed.speech.model
        self._created = int(time.time())
        self._usage = bool(data.stream_options and data.stream_options.include_usage)
        self._asked = sum(
            len(message.content)
            if isinstance(message.content, str)
            else sum(len(getattr(part, "text", "")) for part in message.content)
            for message in data.messages
        )
        self._report: dict[str, Any] = {}
        self._reached = self._sent = 0  # characters of the text that the audio has reached, and that were sent
        packed.listener = self._follow

    def _follow(self, event: AudioChunk | Mark | Done) -> None:
        if isinstance(event, AudioChunk):
            self._reached = max(self._reached, event.span[1] if event.span is not None else 0)
        elif isinstance(event, Done):
            self._report = event.report or {}
            self._reached = len(self._text)

    def whole(self, audio: bytes) -> dict[str, Any]:
        """The answer in one piece."""
        sound = {
            "id": f"audio-{self._id}",
            "data": b64encode(audio).decode(),
            "expires_at": self._created,
            "transcript": self._text,
        }
        message = {"role": "assistant", "content": None, "refusal": None, "audio": sound}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._ended()}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._counted()}

    async def events(self) -> AsyncIterator[bytes]:
        """The events of a stream. Each `delta.audio` has `data`, and `transcript` when it reaches more of the text."""
        yield self._event({"role": "assistant", "content": ""})
        try:
            async for part in self._packed:
                audio = {"id": f"audio-{self._id}", "data": b64encode(part).decode()}
                if words := self._text[self._sent : self._reached]:
                    audio["transcript"] = words
                    self._sent = self._reached
                yield self._event({"audio": audio})
        except Cancelled:
            raise
        except HubError as error:
            log.warning("request %s: fault after %.1f s of audio: %s", self._id, self._packed.seconds, error.code)
            yield sse.server_event(msgspec.json.encode(openai_error(error)))
            raise
        yield self._event({}, self._ended())
        if self._usage:
            body = {**self._head("chat.completion.chunk"), "choices": [], "usage": self._counted()}
            yield sse.server_event(msgspec.json.encode(body))
        yield sse.server_event(b"[DONE]")

    def _event(self, delta: dict[str, Any], ended: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": ended}
        return sse.server_event(msgspec.json.encode({**self._head("chat.completion.chunk"), "choices": [choice]}))

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{self._id}", "object": kind, "created": self._created, "model": self._model}

    def _ended(self) -> str:
        cut = self._report.get("cut") or ()
        return "length" if any(one.get("reason") == "max_new_tokens" for one in cut) else "stop"

    def _counted(self) -> dict[str, int]:
        """Characters of the question, and codec frames of the answer."""
        made = math.ceil(round(self._packed.seconds * TOKENS_A_SECOND, 6))  # summing the seconds leaves rounding errors
        return {"prompt_tokens": self._asked, "completion_tokens": made, "total_tokens": self._asked + made}
