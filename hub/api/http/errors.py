"""One error body everywhere: `{"code", "message", "detail"}`, as JSON or msgpack.

Every exception becomes a HubError first. An unexpected one becomes `internal_error`: the caller gets the request id,
the log gets the traceback.
"""

from __future__ import annotations

import logging
import math
from typing import Any

from litestar import Request
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException, ValidationException
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from msgspec import Struct

from hub.api.http.negotiate import HubResponse
from hub.api.http.request_id import request_id
from hub.contract.errors import (
    Cancelled,
    Forbidden,
    HubError,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    TooLarge,
    Unauthorized,
    UnsupportedMediaType,
)

log = logging.getLogger("hub.api")

_BY_STATUS: dict[int, type[HubError]] = {
    error.status: error for error in (Unauthorized, Forbidden, NotFound, MethodNotAllowed, UnsupportedMediaType)
}


class ErrorBody(Struct, kw_only=True):
    """The body of every error. `code` is stable; docs/errors.md lists all codes."""

    code: str
    message: str
    detail: dict[str, Any] = {}


def to_hub_error(error: Exception, request: Request[Any, Any, Any]) -> HubError:
    """Return `error` as a HubError; log an unexpected one with its traceback."""
    if isinstance(error, HubError):
        return error
    if isinstance(error, NotFoundException):
        return NotFound(f"there is no route {request.method} {request.scope['path'][:200]}; /docs lists the routes")
    if isinstance(error, MethodNotAllowedException):
        allowed = (error.headers or {}).get("allow", "")
        return MethodNotAllowed(f"{request.method} is not allowed here; use {allowed}", allowed=allowed.split(", "))
    if isinstance(error, RequestEntityTooLarge):
        return TooLarge("the body is too large; the limit is `limits.body_bytes` of the hub's settings")
    if isinstance(error, ValidationException):
        return _invalid(error)
    if isinstance(error, HTTPException) and error.status_code < 500:
        return _BY_STATUS.get(error.status_code, InvalidRequest)(error.detail)
    if isinstance(error, HTTPException) and "disconnected" in error.detail:  # Litestar's, while the body was read
        return Cancelled("the caller left")
    name = request_id(request.scope)
    log.error("request %s failed", name, exc_info=error)
    return InternalError(f"the hub failed; its log has the cause under request id {name}", request_id=name)


def _invalid(error: ValidationException) -> InvalidRequest:
    """Turn Litestar's list of problems with parameters or body into one sentence."""
    problems = error.extra if isinstance(error.extra, list) else []
    fields = [str(problem.get("key", "")) for problem in problems if isinstance(problem, dict)]
    if "data" in fields:
        return InvalidRequest("the body is empty: send JSON or msgpack")
    words = [
        f"{problem.get('key', 'request')}: {str(problem.get('message', '')).replace('`', '')}"
        for problem in problems
        if isinstance(problem, dict)
    ]
    return InvalidRequest("; ".join(words) or error.detail, fields=fields)


def error_headers(error: HubError) -> dict[str, str]:
    """Return the headers of an error: Retry-After in whole seconds, Allow, WWW-Authenticate, Connection."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.detail.get("allowed", ()))
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, TooLarge):
        headers["Connection"] = "close"  # the rest of the body is not read
    return headers


def error_response(request: Request[Any, Any, Any], raised: Exception) -> HubResponse[Any]:
    """Report the exception; this is the app's exception handler."""
    error = to_hub_error(raised, request)
    body = ErrorBody(code=error.code, message=error.message, detail=error.detail)
    return HubResponse(body, status_code=error.status, headers=error_headers(error))
