"""persist(): how a task waits for a busy model and tries again after its worker crashed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from hub.contract.errors import Busy, HubError, Unavailable
from hub.plugin.host import HostModel

ATTEMPTS = 4
"""Attempts at a segment whose model crashes, does not start, or is too slow."""

PATIENCE = 30.0
"""Seconds for which a task lets requests go first; then it queues as they do."""

LONGEST_PAUSE = 30.0
"""Maximum seconds between two attempts."""

T = TypeVar("T")


async def persist(model: HostModel, attempt: Callable[[], Awaitable[T]], waits: Callable[[HubError | None], None]) -> T:
    """Return the result of `attempt`. Wait as long as the model is busy, and call `waits` with the reason.

    When the task goes on, call `waits` with None. Raises the error of the last of ATTEMPTS, and any error but Busy and
    Unavailable at once.
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
