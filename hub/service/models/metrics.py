"""Prometheus metrics: an Observer that counts finished requests, and gauges that read the models at each scrape.

Labels are model names of the configuration and error codes of the contract, never text from a caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.registry import Collector

from hub.contract.errors import all_errors
from hub.contract.observer import SpeechReport
from hub.version import __version__

if TYPE_CHECKING:
    from hub.service.models.models import Models

__all__ = ["CONTENT_TYPE", "Metrics"]

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
FACTORS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0)
"""Buckets of the real-time factor; over 1, the model is slower than the speech that it makes."""

STATES = ("stopped", "starting", "ready", "backing_off", "broken")


class Metrics:
    """All metrics of one hub, in a registry of their own."""

    def __init__(self, models: Models) -> None:
        self._models = {model.name for model in models}
        self._outcomes = {"ok", *(error.code for error in all_errors())}
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("ttshub_requests", "Finished speech requests", ["model", "outcome"], registry=registry)
        self.first_audio = Histogram(
            "ttshub_first_audio_seconds",
            "From a request's arrival to its first checked audio",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self.queued = Histogram(
            "ttshub_queued_seconds",
            "From a request's arrival to the start of work",
            ["model"],
            buckets=SECONDS,
            registry=registry,
        )
        self.real_time_factor = Histogram(
            "ttshub_real_time_factor",
            "Seconds of work for each second of audio, of complete answers",
            ["model"],
            buckets=FACTORS,
            registry=registry,
        )
        self.audio = Counter("ttshub_audio_seconds", "Audio generated", ["model"], registry=registry)
        self.chars = Counter("ttshub_characters", "Characters of finished requests", ["model"], registry=registry)
        self.underruns = Counter(
            "ttshub_underruns", "Chunks that came too late for a player", ["model"], registry=registry
        )
        self.crashes = Counter("ttshub_worker_crashes", "Worker processes that crashed", ["model"], registry=registry)
        for name in self._models:  # a counter that has never counted is 0, not missing
            for counter in (self.audio, self.chars, self.underruns, self.crashes):
                counter.labels(name)
        registry.register(_ModelGauges(models))
        registry.register(_LoopGauge())
        ProcessCollector(registry=registry)  # RSS, CPU seconds, open descriptors; nothing where there is no /proc

    def speech_ended(self, report: SpeechReport) -> None:
        """Count a finished request; one for an unknown model counts as model "other"."""
        model = self._label(report.model)
        outcome = report.outcome if report.outcome in self._outcomes else "other"
        self.requests.labels(model, outcome).inc()
        self.queued.labels(model).observe(report.queued)
        self.audio.labels(model).inc(report.audio)
        self.chars.labels(model).inc(report.chars)
        self.underruns.labels(model).inc(report.underruns)
        if report.first_audio is not None:
            self.first_audio.labels(model).observe(report.first_audio)
        if report.outcome == "ok" and report.audio > 0:
            self.real_time_factor.labels(model).observe(report.work / report.audio)

    def worker_crashed(self, model: str, reason: str) -> None:
        """Count a crash."""
        self.crashes.labels(self._label(model)).inc()

    def _label(self, model: str) -> str:
        return model if model in self._models else "other"

    def render(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)


class _ModelGauges(Collector):
    """Gauges of the models, read at each scrape."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        running = GaugeMetricFamily("ttshub_running", "Requests being spoken", labels=["model"])
        waiting = GaugeMetricFamily("ttshub_waiting", "Requests in the queue", labels=["model"])
        places = GaugeMetricFamily("ttshub_concurrency", "Requests that may be spoken at once", labels=["model"])
        memory = GaugeMetricFamily(
            "ttshub_model_memory_bytes", "Memory of its worker, as last measured", labels=["model", "device"]
        )
        state = GaugeMetricFamily(
            "ttshub_model_state", "1 for the state that the model is in", labels=["model", "state"]
        )
        for status in self._models.status():
            running.add_metric([status.name], status.running)
            waiting.add_metric([status.name], status.waiting)
            places.add_metric([status.name], status.concurrency)
            if status.memory is not None:
                memory.add_metric([status.name, status.device], status.memory)
            for name in STATES:
                state.add_metric([status.name, name], float(name == status.state))
        yield from (running, waiting, places, memory, state)
        yield InfoMetricFamily("ttshub", "The hub", value={"version": __version__})


class _LoopGauge(Collector):
    """A gauge of the event loop, read at each scrape."""

    def collect(self) -> Iterator[Metric]:
        try:
            count = len(asyncio.all_tasks())
        except RuntimeError:  # called outside the loop
            return
        yield GaugeMetricFamily("ttshub_asyncio_tasks", "Tasks of the hub's event loop", value=count)
