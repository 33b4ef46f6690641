"""Server-sent events: writing, sending and documenting them, and keeping a silent stream alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from litestar.openapi.spec import OpenAPIMediaType, Schema
from litestar.openapi.spec.enums import OpenAPIType

from hub.contract.errors import HubError

MEDIA_TYPE = "text/event-stream"

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Keep caches from storing a stream, and proxies from buffering it (nginx reads the second header)."""

PING_PERIOD = 15.0
"""Seconds of silence after which a comment is sent, so that no proxy takes the connection for dead."""


def server_event(data: bytes, *, event: str = "", id: str = "") -> bytes:
    """Return one event. `data` must not contain a line break; JSON does not."""
    name = f"event: {event}\n" if event else ""
    number = f"id: {id}\n" if id else ""
    return f"{name}{number}data: ".encode() + data + b"\n\n"


def documented(description: str, *, named: bool = True) -> dict[str, OpenAPIMediaType]:
    """Return the `content` of an operation that sends events; `named`: each event has an `event` line."""
    text = Schema(type=OpenAPIType.STRING)
    schema = Schema(
        type=OpenAPIType.OBJECT,
        description=description,
        properties={"event": text, "data": text},
        required=["event", "data"] if named else ["data"],
    )
    return {MEDIA_TYPE: OpenAPIMediaType(schema=schema)}


async def with_pings(parts: AsyncGenerator[bytes, None], period: float | None = None) -> AsyncGenerator[bytes, None]:
    """Yield `parts`, and a comment whenever `period` seconds (default: PING_PERIOD) pass without one."""
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
