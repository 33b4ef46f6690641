"""The hub tax: how much later the first audio comes over HTTP than directly from the same worker.

Three ways to the same tone worker, under the same load: `engine` (ProcessEngine.speak, no hub), `hub` (Hub.speak:
checks, lane, proof of the first audio) and `http` (POST /v1/speech, streamed pcm; from sending the request on an open
connection to the first byte of the body). Each of N callers requests a 2 s stream at playing speed in chunks of 100 ms,
reads it to its end and requests the next. The callers' starts are spread evenly, so N streams are always running; a
single caller requests 0.3 s. The measured process has core 0; the worker, and for `http` the client, have core 1. The
ways take turns, `--rounds` times; a cell is the median of the rounds, and the tax the difference of two cells.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import uvloop

from bench.client import connect, stream_of
from bench.server import build, pin, serve
from bench.table import quantile, show
from hub.contract.event import AudioChunk
from hub.contract.speech import AudioFormat, SpeechRequest
from hub.engine.stream import EventStream
from hub.service.speech.answer import Speech

PACED = {"paced": True, "chunk_ms": 100}
Ask = Callable[[], Awaitable[float]]
"""Requests one stream, reads all of it, and returns the seconds to its first audio."""


async def load(ask: Ask, callers: int, seconds: float, answers: int) -> list[float]:
    """Return the seconds to first audio of `answers` requests by `callers`, whose starts are spread over `seconds`."""
    firsts: list[float] = []

    async def caller(index: int) -> None:
        await asyncio.sleep(seconds * index / callers)
        while len(firsts) < answers:
            firsts.append(await ask())

    await ask()  # warms up connections, caches, code paths
    await asyncio.gather(*(caller(index) for index in range(callers)))
    return firsts


async def first_of(begun: float, events: EventStream | Speech | AsyncIterator[object]) -> float:
    first = 0.0
    async for event in events:
        if not first and isinstance(event, AudioChunk):
            first = time.perf_counter() - begun
    return first


def request_of(seconds: float) -> SpeechRequest:
    options = {"seconds": seconds, **PACED}
    return SpeechRequest(text="hum", stream=True, format=AudioFormat(container="pcm"), options=options)


async def in_process(way: str, callers: int, seconds: float, answers: int) -> list[float]:
    """Measure the ways `engine` and `hub`."""
    hub = build(places=callers)
    model = hub.models.get(None)
    await model.start()
    pin(model.engine.status.pid or 0, 1)

    async def ask() -> float:
        begun = time.perf_counter()
        if way == "engine":
            return await first_of(begun, model.engine.speak(request_of(seconds)))
        async with contextlib.aclosing(await hub.speak(request_of(seconds))) as speech:
            return await first_of(begun, speech)

    try:
        return await load(ask, callers, seconds, answers)
    finally:
        await hub.stop()


async def over_http(port: int, callers: int, seconds: float, answers: int) -> list[float]:
    """Measure the way `http`."""
    body = stream_of(seconds, **PACED)

    async def ask() -> float:
        answer = await connect(port)
        answer.ask("/v1/speech", body)
        await answer.done.wait()
        answer.close()
        assert answer.complete
        assert answer.status == 200
        assert answer.first is not None
        return answer.first

    return await load(ask, callers, seconds, answers)


def measure(way: str, callers: int, answers: int) -> list[float]:
    """Run one round of one way."""
    seconds = 0.3 if callers == 1 else 2.0
    try:
        if way != "http":
            pin(os.getpid(), 0)
            return uvloop.run(in_process(way, callers, seconds, answers))
        with serve(places=callers) as served:
            pin(os.getpid(), 1)
            return uvloop.run(over_http(served.port, callers, seconds, answers))
    finally:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, nargs="*", default=[1, 64])
    parser.add_argument("--answers", type=int, default=500, help="answers per round")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    rows = []
    for callers in args.callers:
        rounds = [
            {way: measure(way, callers, args.answers) for way in ("engine", "hub", "http")} for _ in range(args.rounds)
        ]
        for part in (0.5, 0.99):
            engine, hub, http = (
                1000 * statistics.median(quantile(each[way], part) for each in rounds)
                for way in ("engine", "hub", "http")
            )
            cells = [f"{value:.2f} ms" for value in (engine, hub, http, http - engine)]
            rows.append([callers, f"p{100 * part:.0f}", *cells])
    head = ["callers", "quantile", "engine", "hub", "http", "tax (http - engine)"]
    show(f"First audio, medians of {args.rounds} rounds of {args.answers} answers", head, rows)


if __name__ == "__main__":
    main()
