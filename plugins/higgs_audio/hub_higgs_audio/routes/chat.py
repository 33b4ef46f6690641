"""OpenAI's chat completions with audio, as boson's server of Higgs Audio has them: POST /v1/chat/completions.

The messages are the model's own conversation: recordings in an assistant's messages are the voice that answers, the
last message is what it says. The answer is audio alone; its `transcript` is the text that was asked for.
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
from hub.api.http.departure import until_departure
from hub.api.http.negotiate import JSON
from hub.api.mount import YIELDS, shaped
from hub.api.respond import PackedSpeech, PartsResponse, open_speech, pack, speech_headers
from hub.api.routes.models import model_object
from hub.builtin.openai.models import ModelList
from hub.builtin.openai.names import VOICE_ALIASES
from hub.builtin.openai.shapes import error_response, openai_error
from hub.contract.errors import Cancelled, HubError, InvalidRequest, UnsupportedCapability
from hub.contract.event import AudioChunk, Done, Mark
from hub.contract.speech import AudioFormat, Sampling, SpeechRequest
from hub.text.speakable import clean
from hub_higgs_audio.routes.messages import ChatMessage, chat_of
from hub_higgs_audio.settings import BACKEND, CompatOptions

if TYPE_CHECKING:
    from hub.plugin.host import HostModel
    from hub.service.hub import Hub

log = logging.getLogger("hub.higgs_audio")

PATH = "/v1/chat/completions"
MODEL_ALIAS = re.compile(r"gpt-(?:audio|4o(?:-mini)?-audio)(?:-mini)?(?:-preview)?(?:-\d[\d-]*)?").fullmatch
"""OpenAI's names for its models that answer with audio."""

ENDS = frozenset({"<|eot_id|>", "<|end_of_text|>", "<|audio_eos|>", "<|eom_id|>"})
"""Where an answer ends in any case, which is all that `stop` may name."""

TOKENS_A_SECOND = 25


class Voiced(Struct, kw_only=True, forbid_unknown_fields=True):
    """How the audio is sent, and who speaks where no recording tells it."""

    format: Literal["wav", "mp3", "flac", "opus", "aac", "pcm16"] | None = None
    voice: str | None = None


class StreamOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """`include_usage`: whether a last event counts tokens."""

    include_usage: bool = False
    include_obfuscation: bool | None = None


class CreateChatCompletion(Struct, kw_only=True, forbid_unknown_fields=True):
    """The body: OpenAI's fields, vLLM's `top_k`, and the hub's `options`."""

    model: Annotated[str, Meta(description="a Higgs Audio model of this hub, or one of OpenAI's names for such models")]
    messages: Annotated[list[ChatMessage], Meta(description="the conversation; the last message is what is spoken")]
    modalities: list[Literal["text", "audio"]] | None = None
    audio: Voiced | None = None
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
    user: Annotated[str, Meta(description="passed over")] | None = None
    metadata: Annotated[dict[str, Any], Meta(description="passed over")] | None = None
    store: Annotated[bool, Meta(description="passed over; nothing is kept")] | None = None
    options: Annotated[dict[str, Any], Meta(description="the backend's options, as in POST /v1/speech")] = {}


def routes(hub: Hub, options: CompatOptions) -> list[HTTPRouteHandler]:
    """The handlers; they tell errors in OpenAI's shape."""
    started = int(time.time())

    @post(PATH, status_code=200, summary="Answer a conversation with speech, as OpenAI's API")
    async def create_chat_completion(
        data: JSONBody[CreateChatCompletion],
        request: Request,
    ) -> Response[bytes]:
        """One answer as JSON, or with `stream` as events whose `delta.audio.data` is audio, ended by `[DONE]`."""
        model = find_model(hub, data.model, options)
        wanted = speech_request(data, model.name)
        speech = await open_speech(hub, request, wanted)
        packed = await pack(hub, speech, wanted.format, whole=not wanted.stream)
        answer = Answer(data, packed, clean(wanted.text or ""))
        headers = speech_headers(packed)
        if wanted.stream:
            headers |= {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            return PartsResponse(answer.events(), packed, media_type="text/event-stream", headers=headers)
        try:
            async with until_departure(request.receive):
                audio = b"".join([part async for part in packed])
        finally:
            await packed.aclose()
        return Response(msgspec.json.encode(answer.whole(audio)), media_type=JSON, headers=headers)

    @get("/v1/models", opt=YIELDS, summary="The models that answer, as OpenAI's API")
    async def list_chat_models() -> ModelList:
        """Those of this family; what clients ask first that are told no model."""
        models = [model for model in hub.models if model.spec.name == BACKEND]
        return ModelList(data=[model_object(model, started) for model in models])

    return shaped([create_chat_completion, list_chat_models], error_response)


def find_model(hub: Hub, name: str, options: CompatOptions) -> HostModel:
    """The model, which must be one of this family. Raises UnknownModel, UnsupportedCapability."""
    if MODEL_ALIAS(name) and name not in {model.name for model in hub.models}:
        return model_of(hub, BACKEND, options.model)
    if not name:
        raise InvalidRequest("`model` is empty; GET /v1/models lists the models", field="model")
    model = hub.models.get(name)
    if model.spec.name != BACKEND:
        raise UnsupportedCapability(
            f"model {name[:100]!r} takes no conversation; only models of the backend {BACKEND} do: ask it to speak a "
            "text with POST /v1/audio/speech",
            field="model",
        )
    return model


def speech_request(data: CreateChatCompletion, model: str) -> SpeechRequest:
    """`data` in the hub's own words. Raises InvalidRequest, UnsupportedCapability."""
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
                "`audio.voice` speaks a single message; in a conversation the voice is who speaks in its recordings",
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
    """WAV, and 16-bit samples of a stream, unless another is asked for."""
    asked = (data.audio.format if data.audio is not None else None) or ("pcm16" if data.stream else "wav")
    if data.stream and asked == "wav":
        raise UnsupportedCapability("a stream has no WAV: ask for pcm16", field="audio.format")
    return AudioFormat(container="pcm" if asked == "pcm16" else asked)


class Answer:
    """One answer: what is told, in either form, of a speech of `text`."""

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
        self._reached = self._said = 0  # characters of the text that are begun, and told
        packed.listener = self._hear

    def _hear(self, event: AudioChunk | Mark | Done) -> None:
        if isinstance(event, AudioChunk):
            self._reached = max(self._reached, event.span[1] if event.span is not None else 0)
        elif isinstance(event, Done):
            self._report = event.report or {}
            self._reached = len(self._text)

    def whole(self, audio: bytes) -> dict[str, Any]:
        """The answer in one piece."""
        told = {
            "id": f"audio-{self._id}",
            "data": b64encode(audio).decode(),
            "expires_at": self._created,
            "transcript": self._text,
        }
        message = {"role": "assistant", "content": None, "refusal": None, "audio": told}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._ended()}
        return {**self._head("chat.completion"), "choices": [choice], "usage": self._counted()}

    async def events(self) -> AsyncIterator[bytes]:
        """The events of a stream. Each `delta.audio` has `data`, and `transcript` where more of the text is begun."""
        yield self._event({"role": "assistant", "content": ""})
        try:
            async for part in self._packed:
                audio = {"id": f"audio-{self._id}", "data": b64encode(part).decode()}
                if words := self._text[self._said : self._reached]:
                    audio["transcript"] = words
                    self._said = self._reached
                yield self._event({"audio": audio})
        except Cancelled:
            raise
        except HubError as error:
            log.warning("request %s: fault after %.1f s of audio: %s", self._id, self._packed.seconds, error.code)
            yield b"data: %b\n\n" % msgspec.json.encode(openai_error(error))
            raise
        yield self._event({}, self._ended())
        if self._usage:
            body = {**self._head("chat.completion.chunk"), "choices": [], "usage": self._counted()}
            yield b"data: %b\n\n" % msgspec.json.encode(body)
        yield b"data: [DONE]\n\n"

    def _event(self, delta: dict[str, Any], ended: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": ended}
        return b"data: %b\n\n" % msgspec.json.encode({**self._head("chat.completion.chunk"), "choices": [choice]})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{self._id}", "object": kind, "created": self._created, "model": self._model}

    def _ended(self) -> str:
        cut = self._report.get("cut") or ()
        return "length" if any(one.get("reason") == "max_new_tokens" for one in cut) else "stop"

    def _counted(self) -> dict[str, int]:
        """Characters asked, and frames of the codec answered."""
        made = math.ceil(round(self._packed.seconds * TOKENS_A_SECOND, 6))  # sums of seconds are not quite whole
        return {"prompt_tokens": self._asked, "completion_tokens": made, "total_tokens": self._asked + made}
