"""`Patient`: the hub under load, in its own process that can be killed, with its workers and its data folder."""

from __future__ import annotations

import asyncio
import contextlib
import random
from pathlib import Path

import psutil

from bench.soak.book import Book
from hub.testing.fixtures import HubProcess, hub_process

STEADY, SHAKY, LIVE, NARROW, NEURAL = "steady", "shaky", "live", "narrow", "hibari"
TONES = (STEADY, SHAKY)
KILLABLE = {SHAKY: 6, LIVE: 3, NARROW: 3, NEURAL: 1}
"""How often each model's worker is killed, relative to the others. The worker of `steady` is never killed."""

SEGMENT_CHARS = 80

CONFIG = """
data = "{data}"
log_level = "warning"
[models.steady]
backend = "tone"
env = {{ SOAK_MODEL = "steady" }}
[models.shaky]
backend = "tone"
env = {{ SOAK_MODEL = "shaky" }}
[models.live]
backend = "tone"
options = {{ live_text = true }}
env = {{ SOAK_MODEL = "live" }}
[models.narrow]
backend = "tone"
concurrency = 1
queue = 4
deadline = 4.0
env = {{ SOAK_MODEL = "narrow" }}
[models.hibari]
backend = "hibari"
env = {{ SOAK_MODEL = "hibari" }}
[tasks]
segment_chars = {segment_chars}
[worker]
breaker_pause = 10.0
"""


class Patient:
    """A hub to start and kill, with its workers. `url` is its current address."""

    def __init__(self, data: Path, book: Book) -> None:
        self.data = data
        self.url = ""
        self._book = book
        self._process: HubProcess | None = None
        self._stack = contextlib.ExitStack()

    @property
    def process(self) -> psutil.Process:
        """The hub's process."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    @property
    def log(self) -> str:
        """The log of the hub since its last start."""
        return self._process.logged if self._process is not None else ""

    async def start(self) -> None:
        """Start a new process on the same data, and wait for its models."""
        config = CONFIG.format(data=self.data, segment_chars=SEGMENT_CHARS)
        running = hub_process(config, plugins={"tone": "hub.testing.tone"})
        self._process = await asyncio.to_thread(self._stack.enter_context, running)
        self.url = self._process.url
        if self._book.deaths:
            self._book.births.append(asyncio.get_running_loop().time())

    async def kill(self) -> None:
        """Send SIGKILL to the hub. Its workers should end by themselves."""
        assert self._process is not None
        self._book.deaths.append(asyncio.get_running_loop().time())
        self._process.process.kill()
        await self.stop()

    async def stop(self) -> None:
        """Send SIGTERM, if the hub is still running."""
        await asyncio.to_thread(self._stack.close)

    def children(self) -> set[int]:
        """Return the ids of all child processes of the hub."""
        return {child.pid for child in self.process.children(recursive=True)}

    def files(self) -> list[str]:
        """Return all files in the data folder."""
        return sorted(str(path.relative_to(self.data)) for path in self.data.rglob("*") if path.is_file())

    def workers(self) -> dict[str, psutil.Process]:
        """Return the worker's process of each model that has one."""
        found = {}
        for child in self.process.children():
            with contextlib.suppress(psutil.Error, KeyError):
                found[child.environ()["SOAK_MODEL"]] = child
        return found

    def kill_a_worker(self, chance: random.Random) -> None:
        """Send SIGKILL to the worker of a random model, whatever it is doing."""
        workers = self.workers()
        model = chance.choices(list(KILLABLE), list(KILLABLE.values()))[0]
        if model in workers:
            self._book.killed(model)
            with contextlib.suppress(psutil.NoSuchProcess):
                workers[model].kill()
