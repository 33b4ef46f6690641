"""OpenAI's error body, and the hub's errors in that shape."""

from __future__ import annotations

from typing import Any

from litestar import Request
from msgspec import Struct

from hub.api.http.errors import error_headers, to_hub_error
from hub.api.http.negotiate import HubResponse
from hub.contract.errors import HubError


class OpenAIProblem(Struct, kw_only=True):
    """The cause of an error. `param` is the field at fault, if there is one."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(Struct):
    """OpenAI's error body."""

    error: OpenAIProblem


_CODES = {
    "unknown_model": "model_not_found",
    "unknown_voice": "voice_not_found",
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
}


_PARAMS = {
    "text": "input",
    "instruct": "instructions",
    "format.container": "response_format",
    "format.sample_rate": "sample_rate",
    "format.bitrate": "bitrate",
}


_BLAMED = {"unknown_model": "model", "unknown_voice": "voice", "empty_text": "input", "unspeakable_text": "input"}


def openai_error(error: HubError) -> OpenAIError:
    """Return `error` in OpenAI's shape, with its code if it has one for the case, else the hub's."""
    message, code = error.message, _CODES.get(error.code, error.code)
    blamed = error.detail.get("field") or error.detail.get("capability") or _BLAMED.get(error.code)
    if "unknown" in error.detail:
        message = f"Unrecognized request argument supplied: {error.detail['unknown']}"
        code = "unknown_parameter"
    elif "missing" in error.detail:
        message = f"Missing required parameter: '{error.detail['missing']}'."
        code = "missing_required_parameter"
    if error.status == 429:
        kind = "rate_limit_error"
    else:
        kind = "server_error" if error.status >= 500 else "invalid_request_error"
    return OpenAIError(OpenAIProblem(message=message, type=kind, param=_PARAMS.get(blamed or "", blamed), code=code))


def error_response(request: Request[Any, Any, Any], raised: Exception) -> HubResponse[Any]:
    """Report the exception; this is the routes' exception handler."""
    error = to_hub_error(raised, request)
    return HubResponse(openai_error(error), status_code=error.status, headers=error_headers(error))
