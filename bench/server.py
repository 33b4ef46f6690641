"""A hub with the tone backend in its own process, for the benchmarks that use HTTP.

`python -m bench.server [uvicorn|granian] PLACES` prints one line of JSON, {"port", "hub", "worker"} (process ids), once
it is ready, and serves until its stdin ends or SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from hub.api.app import create_app
from hub.api.server import run
from hub.plugin.manager import Plugins
from hub.service.hub import Hub
from hub.settings import ModelSettings, Settings
from hub.testing import tone


@dataclass(frozen=True)
class Served:
    """The port of a hub, and the ids of its processes."""

    port: int
    hub: int
    worker: int


@contextlib.contextmanager
def serve(server: str = "uvicorn", places: int = 1024) -> Iterator[Served]:
    """Serve a hub whose worker speaks `places` requests at once; the hub on core 0, the worker on core 1."""
    command = [sys.executable, "-m", "bench.server", server, str(places)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        served = Served(**json.loads(process.stdout.readline()))
        pin(served.hub, 0)
        pin(served.worker, 1)
        try:
            yield served
        finally:
            process.stdin.close()
            process.wait()


def pin(pid: int, core: int) -> None:
    """Pin all threads of a process, and those they will start, to one core, if the system can."""
    if hasattr(os, "sched_setaffinity"):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(ProcessLookupError):  # the thread has ended meanwhile
                os.sched_setaffinity(int(thread), {core})


def tone_settings(places: int) -> Settings:
    """Return settings with one model, `tone`, that speaks `places` requests at once."""
    return Settings(
        models={"tone": ModelSettings(backend="tone", queue=4096, options={"concurrency": places})},
    )


def build(places: int) -> Hub:
    """Build the hub that all benchmarks measure."""
    return Hub.build(tone_settings(places), Plugins.discover(disabled=["hibari"], extra=[tone]))


async def announce(hub: Hub, port: int) -> None:
    """Print the line that `serve` waits for, once the model is loaded."""
    model = hub.models.get(None)
    await model.start()
    print(json.dumps({"port": port, "hub": os.getpid(), "worker": model.engine.status.pid}), flush=True)


def with_uvicorn(places: int) -> None:
    """Serve like `ttshub serve`."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    tasks = []

    def listening(hub: Hub) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin, lambda: (loop.remove_reader(sys.stdin), os.kill(os.getpid(), signal.SIGTERM)))
        tasks.append(loop.create_task(announce(hub, listener.getsockname()[1])))

    run(
        tone_settings(places),
        Plugins.discover(disabled=["hibari"], extra=[tone]),
        sockets=[listener],
        on_listening=listening,
    )


def with_granian(places: int) -> None:
    """Serve the same app on granian's embedded server."""
    import uvloop
    from granian.constants import Interfaces
    from granian.server.embed import Server

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    hub = build(places)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = Server(
            create_app(hub), port=port, interface=Interfaces.ASGI, log_enabled=False, backlog=2048, backpressure=4096
        )
        loop.add_reader(sys.stdin, lambda: (loop.remove_reader(sys.stdin), server.stop()))
        loop.add_signal_handler(signal.SIGTERM, server.stop)
        serving = loop.create_task(server.serve())
        while True:
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                break
            except OSError:
                await asyncio.sleep(0.01)
        await announce(hub, port)
        await serving

    uvloop.run(main())


if __name__ == "__main__":
    logging.disable()  # callers cause errors on purpose
    {"uvicorn": with_uvicorn, "granian": with_granian}[sys.argv[1]](int(sys.argv[2]))
