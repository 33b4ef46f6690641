"""Lane: the queue of one model. It limits how many requests run at once, how many wait, and for how long."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hub.contract.errors import Busy, DeadlineExceeded

FIRST_GUESS = 1.0
"""Seconds that a request is assumed to take before any has been measured."""


class Place:
    """One of the requests that a model works on at once. `leave` lets the next one in; a second call does nothing."""

    def __init__(self, lane: Lane, now: float) -> None:
        self._lane: Lane | None = lane
        self._entered = now

    def leave(self) -> None:
        """Free the place for the next request."""
        lane, self._lane = self._lane, None
        if lane is not None:
            lane._left(asyncio.get_running_loop().time() - self._entered)


class Lane:
    """`concurrency` requests run, up to `queue` more wait in order of arrival, and further ones are refused."""

    def __init__(self, model: str, *, queue: int, concurrency: int = 1) -> None:
        self._model = model
        self.queue = queue
        self._concurrency = concurrency
        self._queued: deque[asyncio.Future[None]] = deque()
        self._background: deque[asyncio.Future[None]] = deque()  # work that can wait, see `lull`
        self._pace = FIRST_GUESS  # seconds a request holds its place, a moving average
        self._pauses = 0
        self.running = 0
        self.on_idle: Callable[[], None] | None = None  # called when the last request has left

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queued)

    @property
    def concurrency(self) -> int:
        """Requests that may run at once; a higher value lets waiting ones in."""
        return self._concurrency

    @concurrency.setter
    def concurrency(self, value: int) -> None:
        self._concurrency = value
        self._let_in()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let no request in during the block; they wait in the queue."""
        self._pauses += 1
        try:
            yield
        finally:
            self._pauses -= 1
            self._let_in()

    def retry_after(self) -> float:
        """Seconds until one more request should find a place, by the queue's length and the lane's own pace."""
        return max(1.0, math.ceil((self.waiting + 1) / self._concurrency * self._pace))

    async def enter(self, until: float) -> Place:
        """Wait for a place, at most until loop time `until`.

        Raises Busy at once if the queue is full, DeadlineExceeded at `until`. A caller that is cancelled while it
        waits leaves the queue.
        """
        loop = asyncio.get_running_loop()
        if self.running < self._concurrency and not self._queued and not self._pauses:
            self.running += 1
            return Place(self, loop.time())
        if self.waiting >= self.queue:
            wait = self.retry_after()
            raise Busy(
                f"model {self._model!r} has {self.waiting} requests waiting, its limit; try again in {wait:.0f} s",
                retry_after=wait,
            )
        turn: asyncio.Future[None] = loop.create_future()
        self._queued.append(turn)
        try:
            async with asyncio.timeout_at(until):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._free()  # its turn came in the same moment
            elif turn in self._queued:  # else the turn came, and was passed on, between the cancellation and now
                self._queued.remove(turn)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded(
                    f"no place at model {self._model!r} became free in time; try again later, or raise its `deadline`",
                    retry_after=self.retry_after(),
                ) from None
            raise
        return Place(self, loop.time())

    async def lull(self, patience: float) -> None:
        """Wait until a place is free and no request waits for it, at most `patience` seconds.

        Background work calls this before `enter`: requests go first, but cannot keep it waiting for ever.
        """
        if self.running < self._concurrency and not self._queued:
            return
        quiet: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._background.append(quiet)
        try:
            await asyncio.wait([quiet], timeout=patience)
        finally:
            if quiet in self._background:
                self._background.remove(quiet)

    def _left(self, seconds: float) -> None:
        self._pace += 0.2 * (seconds - self._pace)
        self._free()

    def _free(self) -> None:
        self.running -= 1
        self._let_in()
        if not self.running and self.on_idle is not None:
            self.on_idle()

    def _let_in(self) -> None:
        while self._queued and self.running < self._concurrency and not self._pauses:
            turn = self._queued.popleft()
            if not turn.done():
                self.running += 1
                turn.set_result(None)
        if self._background and self.running < self._concurrency:
            self._background.popleft().set_result(None)
