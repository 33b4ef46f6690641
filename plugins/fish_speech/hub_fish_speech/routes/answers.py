"""The form of errors, and the representation of answers."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from msgspec import Struct

from hub.api.http.errors import error_headers, to_hub_error
from hub.api.http.negotiate import JSON, MSGPACK
from hub.api.http.request_id import HEADER, request_id
from hub.contract.errors import HubError

_FORMATS = {"json": JSON, JSON: JSON, "msgpack": MSGPACK, MSGPACK: MSGPACK}


def representation(request: Request[Any, Any, Any]) -> str:
    """The media type of a structured answer: by `?format=`, else by Accept, else JSON."""
    named = _FORMATS.get((request.query_params.get("format") or "").strip().lower())
    accept = request.headers.get("accept", "").lower()
    return named or (MSGPACK if MSGPACK in accept and JSON not in accept else JSON)


def answer(
    request: Request[Any, Any, Any], body: Struct | dict[str, Any], status: int = 200, headers: Mapping[str, str] = {}
) -> Response[bytes]:
    """`body` in the representation that the caller asks for."""
    media_type = representation(request)
    packed = (msgspec.msgpack if media_type == MSGPACK else msgspec.json).encode(body)
    all_headers = {HEADER: request_id(request.scope), **headers}
    return Response(packed, status_code=status, media_type=media_type, headers=all_headers)


def error_body(error: HubError) -> dict[str, Any]:
    """The documented `detail`, and the keys that the vendor's server sends."""
    return {
        "detail": error.message,
        "statusCode": status_of(error),
        "message": error.message,
        "error": phrase(status_of(error)),
    }


def status_of(error: HubError) -> int:
    """The status of an error. The API has no 422: a field that does not fit is a bad request."""
    return 400 if error.status == 422 else error.status


def phrase(status: int) -> str:
    """The reason phrase."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # 499
        return "Client Closed Request"


def error_response(request: Request[Any, Any, Any], raised: Exception) -> Response[bytes]:
    """The exception handler of all routes. Errors are JSON whatever `?format=` says, as clients expect."""
    error = to_hub_error(raised, request)
    return Response(
        msgspec.json.encode(error_body(error)),
        status_code=status_of(error),
        media_type=JSON,
        headers={**error_headers(error), HEADER: request_id(request.scope)},
    )


def failed(request: Request[Any, Any, Any], error: HubError, body: Struct) -> Response[bytes]:
    """Answer with an error of a route whose failures have a `body` of their own, beside `error_body`."""
    fields = {**error_body(error), **msgspec.to_builtins(body)}
    return answer(request, fields, status_of(error), error_headers(error))
