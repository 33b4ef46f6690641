"""Server-sent events: how one is written, kept alive, sent and documented."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from litestar.openapi.spec import OpenAPIMediaType, Schema
from litestar.openapi.spec.enums import OpenAPIType

from hub.contract.errors import HubError

MEDIA_TYPE = "text/event-stream"

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""No cache keeps a stream, and no proxy holds it back (nginx reads the second)."""

PING_PERIOD = 15.0
"""Seconds of silence after which a comment is sent, so that nothing between takes the connection for dead."""


def server_event(data: bytes, *, event: str = "", id: str = "") -> bytes:
    """One event. `data` has no line break: JSON has none."""
    name = f"event: {event}\n" if event else ""
    number = f"id: {id}\n" if id else ""
    return f"{name}{number}data: ".encode() + data + b"\n\n"


def documented(description: str, *, named: bool = True) -> dict[str, OpenAPIMediaType]:
    """The `content` of an operation that answers events; `named`: each has an `event` line."""
    text = Schema(type=OpenAPIType.STRING)
    schema = Schema(
        type=OpenAPIType.OBJECT,
        description=description,
        properties={"event": text, "data": text},
        required=["event", "data"] if named else ["data"],
    )
    return {MEDIA_TYPE: OpenAPIMediaType(schema=schema)}


async def with_pings(parts: AsyncGenerator[bytes, None], period: float | None = None) -> AsyncGenerator[bytes, None]:
    """`parts`, and a comment whenever `period` seconds (default: PING_PERIOD) pass without one."""
    coming: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(parts, None))
            await asyncio.wait([coming], timeout=PING_PERIOD if period is None else period)
            if not coming.done():
                yield b": ping\n\n"
                continue
            part, coming = coming.result(), None
            if part is None:
                return
            yield part
    finally:
        if coming is not None:
            coming.cancel()
            with suppress(asyncio.CancelledError, HubError):
                await coming
        await parts.aclose()
