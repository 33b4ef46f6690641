"""The number of paced real-time streams that one core carries without an underrun.

The hub has core 0 to itself; its worker and all players share core 1. Each stream is pcm in chunks of `--chunk-ms`,
made at playing speed, 100 ms ahead. Streams start spread over `--ramp` seconds, and all run for `--hold` seconds more.
A player starts at its first byte; an underrun is a piece that arrives after the player has run out of audio.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import random

import uvloop

from bench.client import Answer, play, stream_of
from bench.load import Load
from bench.server import Served, pin, serve
from bench.table import quantile, show


async def streams(served: Served, count: int, ramp: float, hold: float, chunk_ms: int) -> list[object]:
    """Run `count` streams at once; return a row of the table."""
    body = stream_of(ramp + hold, paced=True, chunk_ms=chunk_ms)
    chance = random.Random(count)

    async def one() -> Answer:
        await asyncio.sleep(chance.uniform(0, ramp))
        return await play(served.port, body, limit=ramp + hold + 20)

    calls = [asyncio.create_task(one()) for _ in range(count)]
    await asyncio.sleep(ramp)
    with Load(served.hub, served.worker, os.getpid()) as load:
        await asyncio.sleep(hold - 1)  # all streams run
    answers = await asyncio.gather(*calls)
    whole = sum(answer.complete and answer.status == 200 for answer in answers)
    hit = sum(answer.underruns > 0 for answer in answers)
    first = quantile([answer.first if answer.first is not None else math.inf for answer in answers], 0.99) * 1000
    latest = max(answer.latest for answer in answers) * 1000
    underruns = sum(answer.underruns for answer in answers)
    return [count, whole, f"{first:.0f} ms", underruns, hit, f"{latest:.0f} ms", *load.shares]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", type=int, nargs="*", default=[50, 100, 150, 200, 250, 300, 350, 400])
    parser.add_argument("--server", default="uvicorn")
    parser.add_argument("--ramp", type=float, default=5)
    parser.add_argument("--hold", type=float, default=15)
    parser.add_argument("--chunk-ms", type=int, default=100)
    args = parser.parse_args()
    rows = []
    for count in args.counts:
        with serve(args.server, places=max(args.counts)) as served:
            pin(os.getpid(), 1)
            rows.append(uvloop.run(streams(served, count, args.ramp, args.hold, args.chunk_ms)))
            os.sched_setaffinity(0, range(os.cpu_count() or 1))
    head = [
        "streams",
        "complete",
        "underruns",
        "streams hit",
        "latest piece",
        "hub CPU",
        "worker CPU",
        "players CPU",
        "others CPU",
    ]
    show(f"Paced streams, chunks of {args.chunk_ms} ms, {args.server}", head, rows)


if __name__ == "__main__":
    main()
