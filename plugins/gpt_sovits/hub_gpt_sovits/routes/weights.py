"""`/set_gpt_weights`, `/set_sovits_weights`, `/set_model`, `/set_refer_audio`, `/change_refer`, `/control`."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Any, Literal

from litestar import Request, Response, get, route
from litestar.background_tasks import BackgroundTask
from litestar.handlers import HTTPRouteHandler

from hub.api.http.auth import is_loopback
from hub.contract.errors import Forbidden
from hub_gpt_sovits.routes.answers import Refused, answer, v1_error_response
from hub_gpt_sovits.routes.speech import fields_of
from hub_gpt_sovits.routes.state import Prompt, State

log = logging.getLogger("hub.gpt_sovits")

DONE = {"message": "success"}
V1_DONE = {"code": 0, "message": "Success"}


def routes(state: State) -> list[HTTPRouteHandler]:
    """The handlers. Their changes apply to later requests; running ones keep the state that they began with."""
    return [*_weights(state), *_recording(state), _control(state)]


def _weights(state: State) -> list[HTTPRouteHandler]:

    @get("/set_gpt_weights", status_code=200, summary="Set the semantic weights of later requests")
    async def set_gpt_weights(request: Request[Any, Any, Any]) -> Response[bytes]:
        """`weights_path`: a .ckpt file in the model's folder."""
        return await _set_weights(state, request, "gpt")

    @get("/set_sovits_weights", status_code=200, summary="Set the acoustic weights of later requests")
    async def set_sovits_weights(request: Request[Any, Any, Any]) -> Response[bytes]:
        """`weights_path`: a .pth file in the model's folder."""
        return await _set_weights(state, request, "sovits")

    @route("/set_model", http_method=["GET", "POST"], status_code=200, summary="Set both weights of later requests")
    async def set_model(request: Request[Any, Any, Any]) -> Response[bytes]:
        """`gpt_model_path` and `sovits_model_path`; one alone leaves the other as it is."""
        try:
            fields = await fields_of(request)
            gpt, sovits = _text(fields, "gpt_model_path"), _text(fields, "sovits_model_path")
            if not gpt and not sovits:
                raise Refused("gpt_model_path or sovits_model_path is required")
            gpt = await asyncio.to_thread(state.weights, gpt, "gpt") if gpt else state.gpt
            sovits = await asyncio.to_thread(state.weights, sovits, "sovits") if sovits else state.sovits
        except Exception as error:
            return v1_error_response(request, error)
        state.gpt, state.sovits = gpt, sovits
        return answer(request, V1_DONE)

    return [set_gpt_weights, set_sovits_weights, set_model]


def _recording(state: State) -> list[HTTPRouteHandler]:
    @get("/set_refer_audio", status_code=200, summary="Set the recording of requests that name none")
    async def set_refer_audio(request: Request[Any, Any, Any]) -> Response[bytes]:
        """`refer_audio_path`: a stored voice's id, or a file in the folders of recordings."""
        path = _text(await fields_of(request), "refer_audio_path")
        if not path:
            raise Refused("refer_audio_path is required")
        try:
            found = await state.recordings.find(path)
        except Refused as error:
            return answer(
                request, {"message": "set refer audio failed", "Exception": error.message, "code": error.code}, 400
            )
        state.prompt = Prompt(path, found.text, state.prompt.language)
        return answer(request, DONE)

    @route(
        "/change_refer", http_method=["GET", "POST"], status_code=200, summary="Set the recording, in the first dialect"
    )
    async def change_refer(request: Request[Any, Any, Any]) -> Response[bytes]:
        """`refer_wav_path`, `prompt_text`, `prompt_language`; a parameter that is left out stays as it is."""
        try:
            fields = await fields_of(request)
            names = ("refer_wav_path", "prompt_text", "prompt_language")
            path, said, language = (_text(fields, name) for name in names)
            if not (path or said or language):
                raise Refused('缺少任意一项以上参数: "path", "text", "language"')
            if path:
                await state.recordings.find(path)
        except Exception as error:
            return v1_error_response(request, error)
        was = state.prompt
        state.prompt = Prompt(path or was.path, said or was.text, language or was.language)
        return answer(request, V1_DONE)

    return [set_refer_audio, change_refer]


def _control(state: State) -> HTTPRouteHandler:
    @route("/control", http_method=["GET", "POST"], status_code=200, summary="Restart the model, or stop the hub")
    async def control(request: Request[Any, Any, Any]) -> Response[bytes]:
        """`command`: `restart` or `exit`. Off unless `[compat.gpt_sovits.options] control` is true; on a public address
        it needs API keys as well.
        """
        _check_control(state)
        command = _text(await fields_of(request), "command")
        if not command:
            raise Refused("command is required")
        if command == "restart":
            await state.model().unload(force=True, why="/control restart")
            await state.model().start(why="/control restart")
        elif command == "exit":
            log.warning("/control stops the hub")
            response = answer(request, DONE)
            response.background = BackgroundTask(os.kill, os.getpid(), signal.SIGTERM)
            return response
        return answer(request, None if command != "restart" else DONE)

    return control


def _check_control(state: State) -> None:
    settings = state.hub.settings
    if not state.options.control:
        raise Forbidden("/control is off; [compat.gpt_sovits.options] control = true switches it on")
    if not settings.auth.keys and not is_loopback(settings.server.host):
        raise Forbidden("/control is off on a public address without API keys")


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    return value.strip() if isinstance(value, str) else ""


async def _set_weights(
    state: State, request: Request[Any, Any, Any], what: Literal["gpt", "sovits"]
) -> Response[bytes]:
    path = _text(await fields_of(request), "weights_path")
    if not path:
        raise Refused(f"{what} weight path is required")
    try:
        name = await asyncio.to_thread(state.weights, path, what)
    except Refused as error:
        body = {"message": f"change {what} weight failed", "Exception": error.message, "code": error.code}
        return answer(request, body, 400)
    setattr(state, what, name)
    return answer(request, DONE)
