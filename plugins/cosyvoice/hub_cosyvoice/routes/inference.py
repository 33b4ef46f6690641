"""`/inference_sft`, `_zero_shot`, `_cross_lingual`, `_instruct`, `_instruct2`.

The API's document promises a stream that can be saved as `.wav`; the official client sends GET with a form in the body
and expects bare samples. Both get what they expect, and `?container=` names one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from litestar import Request, Response, route
from litestar.handlers import HTTPRouteHandler
from litestar.types import Method
from msgspec import Meta, Struct

from hub.api.family import model_of
from hub.api.http.fields import Upload, as_struct, query_fields, read_fields
from hub.api.respond import audio_response, open_speech
from hub.contract.errors import UnknownVoice, UnsupportedCapability
from hub.contract.speech import AudioFormat, Reference, SpeechRequest
from hub.plugin.host import Host
from hub_cosyvoice.capabilities import BACKEND
from hub_cosyvoice.options import CompatOptions, Mode
from hub_cosyvoice.routes.answers import Answers

METHODS: tuple[Method, ...] = ("GET", "POST")

ASKING: tuple[Method, ...] = ("OPTIONS",)
"""The endpoints take it as well if web pages of other origins may call: browsers ask for permission with it."""


class Extra(Struct, kw_only=True):
    """Fields of every endpoint beyond CosyVoice's own, in the query or in the form."""

    model: str = ""
    container: Literal["wav", "pcm"] | None = None
    stream: bool | None = None
    speed: Annotated[float, Meta(ge=0.25, le=4.0)] = 1.0
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


class Sft(Extra, kw_only=True):
    """A preset voice."""

    tts_text: str
    spk_id: str


class ZeroShot(Extra, kw_only=True):
    """A recording and its transcript."""

    tts_text: str
    prompt_text: str
    prompt_wav: Upload


class CrossLingual(Extra, kw_only=True):
    """A recording in another language."""

    tts_text: str
    prompt_wav: Upload


class Instruct(Extra, kw_only=True):
    """A preset voice and an instruction."""

    tts_text: str
    spk_id: str
    instruct_text: str


class Instruct2(Extra, kw_only=True):
    """A recording and an instruction."""

    tts_text: str
    instruct_text: str
    prompt_wav: Upload


FORMS: dict[str, tuple[Mode, type[Extra], str]] = {
    "/inference_sft": ("sft", Sft, "Speak as one of the model's own speakers"),
    "/inference_zero_shot": ("zero_shot", ZeroShot, "Speak like a recording whose words are known"),
    "/inference_cross_lingual": ("cross_lingual", CrossLingual, "Speak like a recording in another language"),
    "/inference_instruct": ("instruct", Instruct, "Speak as one of the model's own speakers, following an instruction"),
    "/inference_instruct2": ("instruct2", Instruct2, "Speak like a recording, following an instruction"),
}

PATHS = tuple(FORMS)


def routes(hub: Host, options: CompatOptions, answers: Answers) -> list[HTTPRouteHandler]:
    """The handlers."""
    return [_handler(hub, options, answers, path) for path in PATHS]


def _handler(hub: Host, options: CompatOptions, answers: Answers, path: str) -> HTTPRouteHandler:
    mode, kind, summary = FORMS[path]

    @route(path, http_method=METHODS + ASKING if answers.cors else METHODS, status_code=200, summary=summary)
    async def inference(request: Request[Any, Any, Any]) -> Response[bytes]:
        """16-bit samples at the model's rate, in a WAV or bare, sent while they are generated."""
        if request.method in ASKING:
            return answers.preflight(request)
        sent = await read_fields(request)
        form = as_struct({**query_fields(request), **sent}, kind)
        wanted = speech_request(hub, options, mode, form)
        bare = form.container == "pcm" if form.container else request.method == "GET" and bool(sent)
        wanted.format = AudioFormat(container="pcm" if bare else "wav")
        try:
            speech = await open_speech(hub, request, wanted)
        except (UnknownVoice, UnsupportedCapability) as error:
            raise _wrong_mode(hub, wanted, mode) or error from error
        response = await audio_response(hub, request, speech, wanted.format, stream=True)
        response.headers.update(answers.headers())
        return response

    inference.fn.__name__ = path.strip("/")
    return inference


def speech_request(hub: Host, options: CompatOptions, mode: Mode, form: Extra) -> SpeechRequest:
    """`form` in the hub's own words. Raises BackendUnavailable, UnknownModel."""
    recording = getattr(form, "prompt_wav", None)
    references: tuple[Reference, ...] = ()
    if isinstance(recording, Upload):
        references = (Reference(audio=recording.content, text=getattr(form, "prompt_text", None)),)
    return SpeechRequest(
        text=getattr(form, "tts_text", ""),
        model=model_of(hub, BACKEND, form.model or options.model).name,
        voice=getattr(form, "spk_id", None),
        references=references,
        instruct=getattr(form, "instruct_text", None),
        speed=form.speed,
        seed=form.seed,
        stream=options.stream if form.stream is None else form.stream,
        options={"mode": mode},
    )


def _wrong_mode(hub: Host, wanted: SpeechRequest, mode: Mode) -> UnsupportedCapability | None:
    """Return an error that names the cause if the model does not have this mode, else None."""
    model = model_of(hub, BACKEND, wanted.model or "")
    first = not model.capabilities.live_text  # of the three generations; by now the model is loaded
    if mode == "instruct" and not first:
        words = f"model {model.name!r} has no mode 'instruct'; it has 'instruct2', with a recording"
    elif mode == "instruct2" and first:
        words = f"model {model.name!r} has no mode 'instruct2'; CosyVoice 2 and 3 have it"
    elif mode == "instruct" and not model.capabilities.instruct:
        words = f"model {model.name!r} has no mode 'instruct'; CosyVoice-300M-Instruct has it"
    else:
        return None
    return UnsupportedCapability(words, model=model.name, capability=mode)
