"""The threads in which tasks pack and write audio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_THREADS = ThreadPoolExecutor(2, thread_name_prefix="task")
"""A separate pool: packing an hour of audio must not delay the threads that pack the answers to requests."""

T = TypeVar("T")


async def in_thread(work: Callable[[Callable[[], bool]], T]) -> T:
    """Call `work(stopped)` in a thread. A cancelled caller still waits for its end, so that no write outlives it."""
    stop = threading.Event()
    future = asyncio.get_running_loop().run_in_executor(_THREADS, work, stop.is_set)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([future])
        future.exception()
        raise
