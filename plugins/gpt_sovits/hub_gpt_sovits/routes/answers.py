"""Answers of this API, errors among them: `{"message": ...}`, with FastAPI's list for fields of a wrong type."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, Response

from hub.api.http.errors import error_headers, to_hub_error
from hub.api.http.fields import fastapi_body
from hub.api.http.negotiate import JSON
from hub.api.http.request_id import HEADER, request_id
from hub.contract.errors import InvalidRequest


class Refused(InvalidRequest):
    """A request that the API refuses with its own message."""


def answer(
    request: Request[Any, Any, Any], body: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response[bytes]:
    """`body` as JSON."""
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type=JSON,
        headers={HEADER: request_id(request.scope), **(headers or {})},
    )


def error_response(request: Request[Any, Any, Any], raised: Exception) -> Response[bytes]:
    """The exception handler of the newer dialect.

    An error of the API's own checks has its own message; a later failure is "tts failed", with the cause in
    `Exception`. The hub's `code` is always added. Statuses are the hub's own, so that 429 and 503 differ from a bad
    request.
    """
    error = to_hub_error(raised, request)
    body = fastapi_body(error)
    if body is None:
        own = isinstance(error, Refused) or error.status in (401, 403, 404, 405)
        body = {"message": error.message} if own else {"message": "tts failed", "Exception": error.message}
        body["code"] = error.code
    return answer(request, body, error.status, error_headers(error))


def v1_error_response(request: Request[Any, Any, Any], raised: Exception) -> Response[bytes]:
    """The exception handler of the first dialect: `{"code": 400, "message": ...}`."""
    error = to_hub_error(raised, request)
    status = 400 if error.status == 422 else error.status
    return answer(request, {"code": status, "message": error.message}, status, error_headers(error))
