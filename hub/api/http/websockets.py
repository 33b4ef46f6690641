"""What the websockets of the hub and of families share: close codes, the size of a frame, who may open one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from litestar import WebSocket

ORDERLY, FORBIDDEN, IDLE, FAILED = 1000, 4403, 4408, 4500
"""Close codes; the last three are 4000 + the HTTP status of the same meaning."""

FRAME = 48 * 1024
"""Bytes of audio in one frame, at most: a slow reader is noticed before much is waiting for it."""


def same_origin(socket: WebSocket[Any, Any, Any], allowed: tuple[str, ...]) -> bool:
    """Whether the page may use it: browsers let any page open a websocket to anywhere, so the hub has to look."""
    origin = socket.headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return True
    return urlsplit(origin).netloc == socket.headers.get("host")
