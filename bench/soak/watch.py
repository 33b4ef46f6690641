"""`Watch`: samples the resources of the hub, and of the worker that is never killed, while the load runs."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
from dataclasses import dataclass

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from bench.soak.patient import STEADY, Patient


@dataclass(frozen=True)
class Sample:
    """One sample. Sizes are in bytes, `time` in seconds since the watch began."""

    time: float
    hub: int
    worker: int
    descriptors: int
    worker_descriptors: int
    threads: int
    tasks: int
    children: int
    zombies: int
    files: int


class Watch:
    """Collects samples of one run of a hub."""

    def __init__(self, patient: Patient, client: httpx.AsyncClient) -> None:
        self._patient = patient
        self._client = client
        self._began = time.monotonic()
        self.samples: list[Sample] = []
        self.worker = patient.workers()[STEADY]

    async def look(self) -> Sample:
        """Now."""
        hub, worker = self._patient.process, self.worker
        metrics = (await self._client.get(f"{self._patient.url}/metrics")).text
        children = hub.children(recursive=True)
        zombies = 0
        for child in children:
            with contextlib.suppress(psutil.Error):
                zombies += child.status() == psutil.STATUS_ZOMBIE
        return Sample(
            time=time.monotonic() - self._began,
            hub=hub.memory_info().rss,
            worker=worker.memory_info().rss,
            descriptors=hub.num_fds(),
            worker_descriptors=worker.num_fds(),
            threads=hub.num_threads(),
            tasks=int(gauge(metrics, "ttshub_asyncio_tasks")),
            children=len(children),
            zombies=zombies,
            files=len(self._patient.files()),
        )

    async def keep_looking(self, period: float) -> None:
        """Take a sample every `period` seconds, for ever."""
        while True:
            try:
                sample = await self.look()
            except httpx.TransportError as error:
                print(f"{time.strftime('%X')} no sample: {error!r}", file=sys.stderr, flush=True)
                await asyncio.sleep(period)
                continue
            self.samples.append(sample)
            if len(self.samples) % 12 == 1:
                print(f"{time.strftime('%X')} {sample}", file=sys.stderr, flush=True)
            await asyncio.sleep(period)

    def since(self, seconds: float) -> list[Sample]:
        """Return the samples from `seconds` on."""
        return [sample for sample in self.samples if sample.time >= seconds]


def gauge(metrics: str, name: str) -> float:
    """Return the sum of a metric over its labels."""
    found = [s.value for family in text_string_to_metric_families(metrics) for s in family.samples if s.name == name]
    if not found:
        raise ValueError(f"no {name} in /metrics")
    return sum(found)


def trend(samples: list[Sample], name: str) -> float:
    """Return the slope of a value by linear regression, per hour."""
    line = statistics.linear_regression([s.time / 3600 for s in samples], [getattr(s, name) for s in samples])
    return line.slope


def median(samples: list[Sample], name: str) -> float:
    """Return the median of a value."""
    return statistics.median(getattr(sample, name) for sample in samples)
