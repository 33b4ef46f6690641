"""The soak; the package's docstring describes it.

First the hub itself is killed a few times while its tasks continue from one run to the next. Then one hub runs to the
end, and its resources are sampled. Every answer is verified, and each error must have a reason.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.soak.book import Book
from bench.soak.load import Load
from bench.soak.patient import NARROW, Patient
from bench.soak.report import Findings, judge, show_all
from bench.soak.watch import Sample, Watch, gauge

HUB_LIFE = 18.0
"""Seconds that each of the first hubs runs, on average."""

PERIOD = 5.0
"""Seconds between two samples."""


async def soak(minutes: float, hub_kills: int, data: Path, seed: int) -> bool:
    """Run, and print the tables; return True if all bounds were kept."""
    end = time.monotonic() + 60 * minutes
    book = Book(crowded=[NARROW])
    load = Load.on(Patient(data, book), book, random.Random(seed))
    await load.patient.start()
    try:
        stop = asyncio.Event()
        running = asyncio.create_task(load.run(stop))
        workers = await lives(load, hub_kills)
        watch = Watch(load.patient, load.callers.client)
        looking = asyncio.create_task(watch.keep_looking(PERIOD))
        await asyncio.sleep(max(0.0, end - time.monotonic()))
        stop.set()
        await running
        looking.cancel()
        findings = await look_around(load, watch, minutes)
        workers |= load.patient.children()
    finally:
        await load.callers.aclose()
        await load.patient.stop()
    findings.orphans = {pid for pid in workers if psutil.pid_exists(pid)}
    verdicts = judge(book, findings)
    show_all(book, findings, verdicts)
    return all(verdict.kept for verdict in verdicts)


async def lives(load: Load, count: int) -> set[int]:
    """Kill and restart the hub `count` times; return the ids of its workers."""
    workers: set[int] = set()
    for _ in range(count):
        await asyncio.sleep(load.chance.uniform(0.5, 1.5) * HUB_LIFE)
        workers |= load.patient.children()
        await load.patient.kill()
        await load.patient.start()
    return workers


async def look_around(load: Load, watch: Watch, minutes: float) -> Findings:
    """Collect the findings when the load has ended."""
    rest = await at_rest(load, watch)
    tasks = (await load.callers.client.get(f"{load.patient.url}/v1/tasks")).json()["tasks"]
    print(load.patient.log[-20_000:], file=sys.stderr)
    return Findings(
        minutes=minutes,
        watch=watch,
        rest=rest,
        voices=await load.library.left(),
        tasks={task["id"] for task in tasks},
        files=load.patient.files(),
        tracebacks=load.patient.log.count("Traceback"),
    )


async def at_rest(load: Load, watch: Watch) -> Sample:
    """Sample the hub once no request is running. It has ten seconds to reach that state."""
    for _ in range(40):
        metrics = (await load.callers.client.get(f"{load.patient.url}/metrics")).text
        if gauge(metrics, "ttshub_running") == gauge(metrics, "ttshub_waiting") == 0:
            break
        await asyncio.sleep(0.25)
    else:
        load.book.fail("the end", "requests are still running ten seconds after the last caller left")
    await asyncio.sleep(5)  # the hub closes connections that were kept alive
    return await watch.look()


def main() -> None:
    """Run the soak from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--hub-kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kept = asyncio.run(soak(args.minutes, args.hub_kills, Path(folder, "data"), args.seed))
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
