"""Stops work when its caller has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from hub.contract.errors import BackendUnavailable, Cancelled


@asynccontextmanager
async def until_departure(receive: Any) -> AsyncIterator[None]:
    """Cancel the block as soon as the caller leaves. `receive` is ASGI's; the request's body must have been read.

    Raises Cancelled if the caller left, BackendUnavailable if the server cancelled the request because it is stopping.
    """
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        task.uncancel()
        if gone:
            raise Cancelled("the caller left") from None
        raise BackendUnavailable("the hub is stopping; try again soon") from None
    finally:
        watcher.cancel()


async def closing(parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield `parts`, and close them when the response ends, however it ends."""
    async with aclosing(parts):
        async for part in parts:
            yield part
