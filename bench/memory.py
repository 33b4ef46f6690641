"""The memory of the hub and its worker, and its growth.

Eight callers at once send a mix: every container, whole and streamed, several sample rates and voices, errors; one in
eight leaves midway. The table has RSS and PSS of both processes after `--warm` requests, and after every 500 more.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random

import psutil
import uvloop

from bench.client import connect
from bench.server import Served, serve
from bench.table import show

CONTAINERS = ("wav", "pcm", "mp3", "opus", "aac", "flac")
CALLERS = 8
STEP = 500


def body_of(index: int) -> bytes:
    """Return the body of request `index`: about 2 s of audio, or an error."""
    chance = random.Random(index)
    container = CONTAINERS[index % len(CONTAINERS)]
    request = {
        "text": f"request {index} " + "x" * chance.randrange(20, 60),
        "voice": chance.choice(["low", "mid", "high", "high", "nobody"]),
        "stream": chance.random() < 0.5,
        "format": {"container": container, **chance.choice([{}, {}, {"sample_rate": 48_000}])},
        "options": chance.choice([{}, {}, {}, {"marks": True}, {"fail_at": 3}, {"unknown": 1}]),
    }
    return json.dumps(request).encode()


async def requests(served: Served, numbers: list[int]) -> None:
    """Send these requests, `CALLERS` at a time."""
    left = iter(numbers)

    async def caller() -> None:
        for index in left:
            answer = await connect(served.port)
            answer.ask("/v1/speech", body_of(index))
            if index % 8 == 0:
                await asyncio.sleep(0.005)
            else:
                await answer.done.wait()
            answer.close()

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    await asyncio.sleep(1)  # time to notice callers that left, and to collect garbage


def memory(served: Served) -> list[str]:
    """Return RSS and PSS of hub and worker, in MB."""
    infos = [psutil.Process(pid).memory_full_info() for pid in (served.hub, served.worker)]
    return [f"{value / 1e6:.1f} MB" for info in infos for value in (info.rss, info.pss)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--warm", type=int, default=500)
    parser.add_argument("--requests", type=int, default=2000)
    args = parser.parse_args()
    counter = itertools.count()
    with serve(places=16) as served:
        rows: list[list[object]] = [[0, *memory(served)]]
        done = 0
        for count in [args.warm] + [STEP] * (args.requests // STEP):
            uvloop.run(requests(served, list(itertools.islice(counter, count))))
            done += count
            rows.append([done, *memory(served)])
    show("Memory", ["requests", "hub RSS", "hub PSS", "worker RSS", "worker PSS"], rows)


if __name__ == "__main__":
    main()
