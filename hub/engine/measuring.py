"""Measuring: how much memory a worker holds, as it reports it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

MEASURE_TIMEOUT = 2.0
"""Seconds that a worker has to answer; what it says later serves the next one who asks."""


class Measuring:
    """A question to one worker at a time, put once for all who ask meanwhile."""

    def __init__(self) -> None:
        self._answer: asyncio.Future[int | None] | None = None

    async def ask(self, send: Callable[[], None]) -> int | None:
        """The worker's answer, after `send` has put the question; None if it does not come in time."""
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
            send()
        try:
            async with asyncio.timeout(MEASURE_TIMEOUT):
                return await asyncio.shield(self._answer)
        except TimeoutError:
            return None

    def answered(self, size: int | None) -> None:
        """Pass the answer on; None if there will be none."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.set_result(size)
