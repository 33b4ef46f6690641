"""`Load`: the actors of the soak, and how often they act."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import psutil

from bench.soak.book import Book
from bench.soak.jobs import Jobs
from bench.soak.library import Library
from bench.soak.patient import Patient
from bench.soak.sockets import live
from bench.soak.speech import Callers

WORKER_KILLS = (3.0, 9.0)
"""Seconds between two kills of workers."""


@dataclass
class Load:
    """All actors on one hub."""

    patient: Patient
    book: Book
    chance: random.Random
    callers: Callers
    jobs: Jobs
    library: Library

    @classmethod
    def on(cls, patient: Patient, book: Book, chance: random.Random) -> Load:
        """Return the load on one hub."""
        callers = Callers(patient, book, chance)
        jobs = Jobs(patient, book, chance, callers.client)
        return cls(patient, book, chance, callers, jobs, Library(patient, book, chance, callers))

    def actors(self) -> list[tuple[Callable[[], Awaitable[None]], float]]:
        """Return the repeated actions, each with the mean pause after it, in seconds."""
        callers = self.callers
        sockets = partial(live, self.patient, self.book, self.chance)
        return [
            (callers.whole, 0.5),
            (callers.streamed, 0.5),
            (callers.openai, 1.0),
            (callers.events, 1.0),
            (callers.dialogue, 3.0),
            (callers.neural, 20.0),
            (callers.leaving, 1.0),
            (callers.leaving_the_queue, 1.0),
            (callers.crowd, 8.0),
            (callers.slow_reader, 10.0),
            (callers.nonsense, 0.7),
            (sockets, 1.0),
            (sockets, 2.0),
            (self.jobs.live, 1.0),
            (self.jobs.live, 2.0),
            (self.jobs.live, 4.0),
            (self.library.live, 3.0),
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Act until `stop` is set, then finish what is running."""

        async def repeat(act: Callable[[], Awaitable[None]], pause: float) -> None:
            while not stop.is_set():
                await act()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self.chance.uniform(0, 2 * pause))

        async def kill_workers() -> None:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self.chance.uniform(*WORKER_KILLS))
                    return
                if not self.book.hub_was_down(time.monotonic()):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        self.patient.kill_a_worker(self.chance)

        async with asyncio.TaskGroup() as group:
            for act, pause in self.actors():
                group.create_task(repeat(act, pause))
            group.create_task(kill_workers())
