"""The form of errors in this API, and the headers that let web pages of other origins read its answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, Response

from hub.api.http.errors import error_headers, to_hub_error
from hub.api.http.fields import fastapi_body
from hub.api.http.negotiate import JSON
from hub.api.http.request_id import HEADER, request_id
from hub.api.respond import EXPOSED_HEADERS

PREFLIGHT_SECONDS = "600"
"""Seconds for which a browser need not ask for permission again."""


@dataclass(frozen=True)
class Answers:
    """`cors`: any web page may call, as with CosyVoice's own server."""

    cors: bool

    def headers(self) -> dict[str, str]:
        """The headers that every answer has besides its own."""
        if not self.cors:
            return {}
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": ", ".join(EXPOSED_HEADERS)}

    def error(self, request: Request[Any, Any, Any], raised: Exception) -> Response[bytes]:
        """An error in FastAPI's form: `detail` lists the wrong fields (422) or is a sentence, beside the hub's code."""
        error = to_hub_error(raised, request)
        body = fastapi_body(error) or {"detail": error.message, "code": error.code}
        return Response(
            msgspec.json.encode(body),
            status_code=error.status,
            media_type=JSON,
            headers={**error_headers(error), HEADER: request_id(request.scope), **self.headers()},
        )

    def preflight(self, request: Request[Any, Any, Any]) -> Response[bytes]:
        """The answer to a browser that asks whether a page of another origin may call. Any header is allowed."""
        allowed = {
            "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
            "Access-Control-Allow-Headers": request.headers.get("access-control-request-headers", "*"),
            "Access-Control-Max-Age": PREFLIGHT_SECONDS,
            "Vary": "Access-Control-Request-Headers",
        }
        return Response(b"", headers={**self.headers(), **allowed})
