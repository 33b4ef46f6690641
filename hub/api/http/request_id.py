"""The request id: the caller's own `X-Request-Id` if it is sane, else a new one. In answers, errors and the log."""

from __future__ import annotations

import re
import secrets
from typing import Any

HEADER = "X-Request-Id"
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch


def request_id(scope: Any) -> str:
    """The id of the request of this ASGI scope; the same one however often it is asked for."""
    state = scope["state"]
    found: str | None = state.get("request_id")
    if found is None:
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        found = given.decode("ascii") if _SANE(given) else "req_" + secrets.token_hex(12)
        state["request_id"] = found
    return found
