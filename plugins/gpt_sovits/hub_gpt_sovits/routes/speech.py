"""`/tts`, `/` in both dialects, and `/tts_to_audio/`."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, post, route
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect
from msgspec import Struct

from hub.api.http.fields import as_struct, query_fields, read_fields
from hub.api.respond import speech_response
from hub.contract.speech import SpeechRequest
from hub_gpt_sovits.routes.answers import error_response, v1_error_response
from hub_gpt_sovits.routes.requests import (
    FirstDialect,
    Spoken,
    first_dialect_request,
    is_first_dialect,
    speech_request,
)
from hub_gpt_sovits.routes.state import State
from hub_gpt_sovits.routes.words import CONTAINERS


class Simple(Struct, kw_only=True):
    """The body of `/tts_to_audio/`, as XTTS servers take it."""

    text: str
    speaker_wav: str | None = None
    language: str | None = None


def routes(state: State) -> list[HTTPRouteHandler]:
    """The handlers."""

    @route("/tts", http_method=["GET", "POST"], status_code=200, summary="Speak like a recording")
    async def tts(request: Request[Any, Any, Any]) -> Response[Any]:
        """Parameters in the query, or in a body of JSON, msgpack or a form. With `streaming_mode` the audio is sent
        while it is generated. `ref_audio` takes the recording itself, in a multipart form.
        """
        return await speak(state, request, await fields_of(request))

    @route("/", http_method=["GET", "POST"], status_code=200, summary="Speak, in either dialect of the API")
    async def root(request: Request[Any, Any, Any]) -> Response[Any]:
        """The parameters of /tts, or those of the first API (`text_language`, `refer_wav_path`, ...). Without any it
        redirects to `[compat.gpt_sovits.options] page`.
        """
        fields = await fields_of(request)
        if not is_first_dialect(fields):
            if request.method == "GET" and not {"text", "ref_audio_path"} & set(fields):
                return Redirect(state.options.page, status_code=302)
            return await speak(state, request, fields)
        try:
            wanted = await first_dialect_request(state, as_struct(fields, FirstDialect))
            return await packed(state, request, wanted)
        except Exception as error:
            return v1_error_response(request, error)

    @post(["/tts_to_audio", "/tts_to_audio/"], status_code=200, summary="Speak a text; everything else has its default")
    async def tts_to_audio(request: Request[Any, Any, Any]) -> Response[Any]:
        """`text`, and optionally `speaker_wav` (a recording's name) and `language`; the rest is as configured."""
        asked = as_struct(await fields_of(request), Simple)
        language = asked.language or state.options.text_language
        spoken = Spoken(
            text=asked.text, text_lang=language, target_voice=asked.speaker_wav or state.prompt.path or None
        )
        if not asked.speaker_wav:
            spoken.prompt_text, spoken.prompt_lang = state.prompt.text or None, state.prompt.language or None
        return await packed(state, request, await speech_request(state, spoken))

    return [tts, root, tts_to_audio]


async def fields_of(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """All parameters. Those of the body win over those of the query; null counts as left out."""
    fields = {**query_fields(request), **await read_fields(request)}
    return {name: value for name, value in fields.items() if value is not None}


async def speak(state: State, request: Request[Any, Any, Any], fields: dict[str, Any]) -> Response[Any]:
    """Answer the request in `fields`, in the newer dialect."""
    try:
        return await packed(state, request, await speech_request(state, as_struct(fields, Spoken)))
    except Exception as error:
        return error_response(request, error)


async def packed(state: State, request: Request[Any, Any, Any], wanted: SpeechRequest) -> Response[Any]:
    """The audio, with the content type that this API gives it."""
    response = await speech_response(state.hub, request, wanted)
    names = {format.container: name for name, format in CONTAINERS.items()}
    response.media_type = f"audio/{names[wanted.format.container]}"
    return response
