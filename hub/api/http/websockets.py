"""Shared by the websockets of the hub and of families: close codes, frame size, and the check of the origin."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from litestar import WebSocket

ORDERLY, FORBIDDEN, IDLE, FAILED = 1000, 4403, 4408, 4500
"""Close codes; the last three are 4000 + the HTTP status of the same meaning."""

FRAME = 48 * 1024
"""Most bytes of audio in one frame, so that a slow reader is noticed before much audio waits for it."""


def same_origin(socket: WebSocket[Any, Any, Any], allowed: tuple[str, ...]) -> bool:
    """Return True if the page may open the socket: browsers let any page connect to any host, so the hub must check."""
    origin = socket.headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return True
    return urlsplit(origin).netloc == socket.headers.get("host")
