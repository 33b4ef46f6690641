"""The request id in responses, errors and the log: the caller's `X-Request-Id` if it is well-formed, else a new one."""

from __future__ import annotations

import re
import secrets
from typing import Any

HEADER = "X-Request-Id"
_WELL_FORMED = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch


def request_id(scope: Any) -> str:
    """Return the id of the request of this ASGI scope; the same one on every call."""
    state = scope["state"]
    found: str | None = state.get("request_id")
    if found is None:
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        found = given.decode("ascii") if _WELL_FORMED(given) else "req_" + secrets.token_hex(12)
        state["request_id"] = found
    return found
