"""persist(): the one policy of how a task waits for a model, and tries again when its worker breaks down."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hub.contract.errors import Busy, HubError, Unavailable
from hub.plugin.host import HostModel

ATTEMPTS = 4
"""How often something is tried whose model crashes, does not come up, or gives nothing in time."""

PATIENCE = 30.0
"""Seconds that a task lets requests go first; then it queues as they do."""

LONGEST_PAUSE = 30.0
"""Seconds between two attempts, at most."""

T = TypeVar("T")


async def persist(model: HostModel, attempt: Callable[[], Awaitable[T]], waits: Callable[[HubError | None], None]) -> T:
    """What `attempt` returns at last. Waits as long as the model is busy, and calls `waits` with the reason.

    `waits` is called with None when it goes on. Raises what the last of ATTEMPTS raised, any other HubError at once.
    """
    failures = 0
    while True:
        await model.lull(PATIENCE)
        try:
            result = await attempt()
        except (Busy, Unavailable) as error:
            failures += not isinstance(error, Busy)
            if failures >= ATTEMPTS:
                raise
            waits(error)
            await asyncio.sleep(min(error.retry_after or 0.2 * 2**failures, LONGEST_PAUSE))
        else:
            waits(None)
            return result
