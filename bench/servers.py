"""uvicorn against granian with the same app, each in one process on one core: speed and behaviour.

Speed: `GET /v1/health` on 32 kept-alive connections, whole short answers, and the first byte of streams under the load
of `bench.tax`. Behaviour: the hub's promises to callers, checked on each server; a broken promise outweighs any speed.
`python -m bench.streams --server granian` measures how many streams it carries.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import time
from collections.abc import Callable

import psutil
import uvloop

from bench.client import connect, stream_of
from bench.server import Served, pin, serve
from bench.table import quantile, show
from bench.tax import over_http

SERVERS = ("uvicorn", "granian")
CONNECTIONS = 32
SECONDS = 5.0
ENDLESS = {"seconds": 3600.0, "paced": True, "lead_ms": 0}


# -- speed ----------------------------------------------------------------------------------------


async def rate(port: int, method: str, path: str, body: bytes) -> float:
    """Return the answers per second over `CONNECTIONS` kept-alive connections."""
    end = time.perf_counter() + SECONDS
    count = 0

    async def caller() -> None:
        nonlocal count
        answer = await connect(port)
        while time.perf_counter() < end:
            answer.ask(path, body, method)
            await answer.done.wait()
            assert answer.complete
            answer.again()
            count += 1
        answer.close()

    await asyncio.gather(*(caller() for _ in range(CONNECTIONS)))
    return count / SECONDS


def speeds(server: str) -> list[str]:
    """Return the cells of the table of speeds."""
    speech = json.dumps({"text": "hi", "format": {"container": "pcm"}}).encode()
    with serve(server, places=64) as served:
        pin(os.getpid(), 1)
        health = uvloop.run(rate(served.port, "GET", "/v1/health", b""))
        spoken = uvloop.run(rate(served.port, "POST", "/v1/speech", speech))
        one = uvloop.run(over_http(served.port, 1, 0.3, 200))
        many = uvloop.run(over_http(served.port, 64, 2.0, 500))
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    firsts = [f"{1000 * quantile(values, part):.2f} ms" for values in (one, many) for part in (0.5, 0.99)]
    return [f"{health:.0f}", f"{spoken:.0f}", *firsts]


# -- behaviour ------------------------------------------------------------------------------------


def ask(served: Served, body: bytes) -> http.client.HTTPConnection:
    """Return a connection that has sent a request."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.request("POST", "/v1/speech", body, {"Content-Type": "application/json"})
    return connection


def lane(served: Served) -> tuple[int, int]:
    """Return how many requests run, and how many wait."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    connection.request("GET", "/v1/health")
    model = json.loads(connection.getresponse().read())["models"][0]
    connection.close()
    return model["running"], model["waiting"]


def becomes(served: Served, wanted: tuple[int, int], seconds: float = 5.0) -> bool:
    """Return True if the lane becomes `wanted` in time."""
    end = time.monotonic() + seconds
    while (now := lane(served)) != wanted and time.monotonic() < end:
        time.sleep(0.02)
    return now == wanted


def leaving_a_stream_frees_the_model(served: Served) -> bool:
    connection = ask(served, stream_of(**ENDLESS))
    answer = connection.getresponse()
    answer.read(4800)
    answer.close()
    connection.close()
    return becomes(served, (0, 0))


def leaving_a_whole_answer_frees_the_model(served: Served) -> bool:
    connection = ask(served, json.dumps({"text": "hum", "options": ENDLESS}).encode())
    begun = becomes(served, (1, 0))
    connection.close()
    return begun and becomes(served, (0, 0))


def leaving_the_queue_empties_it(served: Served) -> bool:
    first = ask(served, stream_of(**ENDLESS))
    begun = becomes(served, (1, 0))
    queued = ask(served, stream_of(**ENDLESS))
    begun = begun and becomes(served, (1, 1))
    queued.close()
    left = becomes(served, (1, 0))
    first.close()
    return begun and left


def a_stream_that_fails_is_cut(served: Served) -> bool:
    connection = ask(served, stream_of(5.0, fail_at=3))
    try:
        connection.getresponse().read()
        return False
    except (http.client.IncompleteRead, ConnectionError):
        return True
    finally:
        connection.close()


def a_reader_that_does_not_read_is_held(served: Served) -> bool:
    """Request an hour of audio without reading: the hub's memory must stay near its buffer (6 MB for 60 s)."""
    hub = psutil.Process(served.hub)
    before = hub.memory_info().rss
    connection = ask(served, stream_of(3600.0))
    time.sleep(5)
    grown = hub.memory_info().rss - before
    running = lane(served)[0]
    connection.close()
    return grown < 30e6 and running == 1


def a_stream_may_finish_while_the_server_stops(served: Served) -> bool:
    connection = ask(served, stream_of(2.0, paced=True))
    answer = connection.getresponse()
    received = len(answer.read(4800))
    os.kill(served.hub, signal.SIGTERM)
    try:
        return received + len(answer.read()) == 2 * 48_000
    except (http.client.IncompleteRead, ConnectionError):
        return False


def an_endless_stream_does_not_keep_it_from_stopping(served: Served) -> bool:
    connection = ask(served, stream_of(**ENDLESS))
    connection.getresponse().read(4800)
    os.kill(served.hub, signal.SIGTERM)
    _, alive = psutil.wait_procs([psutil.Process(served.hub), psutil.Process(served.worker)], timeout=15)
    connection.close()
    for process in alive:
        process.kill()
    return not alive


PROMISES: tuple[Callable[[Served], bool], ...] = (
    leaving_a_stream_frees_the_model,
    leaving_a_whole_answer_frees_the_model,
    leaving_the_queue_empties_it,
    a_stream_that_fails_is_cut,
    a_reader_that_does_not_read_is_held,
    a_stream_may_finish_while_the_server_stops,
    an_endless_stream_does_not_keep_it_from_stopping,
)


def kept(server: str, promise: Callable[[Served], bool]) -> str:
    """Return a cell of the table of promises."""
    with serve(server, places=1) as served:
        try:
            return "yes" if promise(served) else "**no**"
        except (OSError, http.client.HTTPException) as error:
            return f"**no**: {type(error).__name__}"


def main() -> None:
    """Print both tables."""
    head = ["server", "health/s", "speech/s", "first byte p50, 1", "p99, 1", "p50, 64", "p99, 64"]
    show("Speed on one core", head, [[server, *speeds(server)] for server in SERVERS])
    promises = [
        [promise.__name__.replace("_", " "), *(kept(server, promise) for server in SERVERS)] for promise in PROMISES
    ]
    show("Promises", ["", *SERVERS], promises)


if __name__ == "__main__":
    main()
