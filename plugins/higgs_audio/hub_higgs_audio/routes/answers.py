"""The errors of this API: `success` is false and other fields are null, or FastAPI's list of invalid fields."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response

from hub.api.http.errors import error_headers, to_hub_error
from hub.api.http.fields import fastapi_body
from hub.api.http.negotiate import JSON
from hub.api.http.request_id import HEADER, request_id
from hub.contract.errors import HubError

NOTHING = {"audio_base64": None, "sampling_rate": None, "duration": None, "generated_text": None}
"""The other fields of a failed answer."""


def answer(
    request: Request[Any, Any, Any], body: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response[bytes]:
    """`body` as JSON."""
    all_headers = {HEADER: request_id(request.scope), **(headers or {})}
    return Response(msgspec.json.encode(body), status_code=status, media_type=JSON, headers=all_headers)


def failure(request: Request[Any, Any, Any], error: HubError, *, as_200: bool) -> Response[bytes]:
    """The answer to a /generate that failed."""
    if (body := fastapi_body(error)) is not None:
        return answer(request, body, 422)
    failed = {"success": False, "message": error.message, "code": error.code, **NOTHING}
    return answer(request, failed, 200 if as_200 else error.status, error_headers(error))


def error_response(request: Request[Any, Any, Any], raised: Exception) -> Response[bytes]:
    """The exception handler of the other routes: FastAPI's `detail`, with the hub's `code` beside it."""
    error = to_hub_error(raised, request)
    body = fastapi_body(error) or {"detail": error.message, "code": error.code}
    return answer(request, body, error.status, error_headers(error))
