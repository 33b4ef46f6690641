"""kill -9 of a worker affects only its own callers; kill -9 of the hub, at any moment, leaves no process behind."""

import asyncio
import http.client
import os
import signal

import psutil
import pytest

from hub.settings import ModelSettings
from hub.testing import tone
from hub.testing.fixtures import hub_process
from tests.support.callers import ENDLESS, PACED, AsyncCaller, metric, spoken, stream_of

TONE = {"tone": "hub.testing.tone"}
TEXT = "model {} must say this to the very end, though others die"


def model(name, **options):
    """Return a table of hub.toml."""
    values = ", ".join(f"{key} = {value}" for key, value in options.items())
    return f'[models.{name}]\nbackend = "tone"\noptions = {{ {values} }}\n'


def workers_of(hub):
    """Return all descendants of the hub's process."""
    return psutil.Process(hub.pid).children(recursive=True)


def assert_gone(processes):
    """Check that all processes end within 15 s, which is a bound, not a measurement."""
    _, alive = psutil.wait_procs(processes, timeout=15)
    assert alive == []


@pytest.mark.anyio
async def test_killing_one_worker_cuts_its_streams_and_no_other(served):
    names = ("a", "b", "c", "d")
    live = served(models={name: ModelSettings(backend="tone", options={"concurrency": 2}) for name in names})
    texts = {(name, i): f"{i}: {TEXT.format(name)}" for name in names for i in (1, 2)}
    began = {key: asyncio.Event() for key in texts}
    async with AsyncCaller(live.url) as caller:
        calls = {
            (name, i): asyncio.create_task(caller.speak(stream_of(text, name, **PACED), began[name, i].set))
            for (name, i), text in texts.items()
        }
        for event in began.values():
            await asyncio.wait_for(event.wait(), 30)
        before = {name: live.hub.models.get(name).engine.status.pid for name in names}
        os.kill(before["b"], signal.SIGKILL)
        answers = dict(zip(calls, await asyncio.gather(*calls.values()), strict=True))
        for (name, i), (body, cut) in answers.items():
            assert cut == (name == "b"), (name, i)
            if not cut:
                assert spoken(body, tone.SAMPLE_RATE) == texts[name, i]
        again = await caller.post("/v1/speech", json={"text": "b is back", "model": "b"})
        assert spoken(again.content) == "b is back"
        health, metrics = (await caller.get("/v1/health")).json(), (await caller.get("/metrics")).text
    after = {name: live.hub.models.get(name).engine.status.pid for name in names}
    assert {name for name in names if before[name] != after[name]} == {"b"}
    assert {status["name"]: status["crashes"] for status in health["models"]} == {"a": 0, "b": 1, "c": 0, "d": 0}
    assert metric(metrics, "ttshub_worker_crashes_total", model="b") == 1
    assert metric(metrics, "ttshub_requests_total", model="b", outcome="backend_crashed") == 2


@pytest.mark.parametrize("busy", [ENDLESS, {"seconds": 60.0, "hang_at": 3}], ids=["speaking", "hanging"])
def test_killing_the_hub_while_it_streams_leaves_no_process(caller, busy):
    with hub_process(model("a") + model("b"), plugins=TONE) as hub:
        answers = [caller(hub.url, stream_of("endless", name, **busy)).answer() for name in "aabb"]
        assert all(len(answer.read(4800)) == 4800 for answer in answers)
        workers = workers_of(hub)
        assert len(workers) == 2
        os.kill(hub.pid, signal.SIGKILL)
        for answer in answers:
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                answer.read()
        assert_gone(workers)


def test_killing_the_hub_while_a_model_loads_leaves_no_process():
    with hub_process(model("slow", load_seconds=3600) + model("quick"), plugins=TONE, ready=False) as hub:
        deep = []
        while len(deep) < 2:  # both workers read their pipes by then: the slow one is loading
            deep = [worker for worker in workers_of(hub) if worker.num_threads() > 1]
        assert hub.client.get("/v1/ready").json()["waiting_for"][:1] == ["slow"]
        os.kill(hub.pid, signal.SIGKILL)
        assert_gone(deep)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_killing_the_hub_while_its_workers_start_leaves_no_process(count):
    config = "".join(model(f"m{i}", load_seconds=3600) for i in range(3))
    with hub_process(config, plugins=TONE, ready=False) as hub:
        while len(workers := workers_of(hub)) < count:
            pass
        os.kill(hub.pid, signal.SIGKILL)
        assert_gone(workers)


@pytest.mark.anyio
async def test_sigterm_lets_streams_finish_and_cuts_those_that_do_not():
    with hub_process(model("a") + model("b"), plugins=TONE) as hub:
        workers = workers_of(hub)
        began = asyncio.Semaphore(0)
        async with AsyncCaller(hub.url) as caller:
            finite = [
                asyncio.create_task(caller.speak(stream_of(TEXT.format(n), n, **PACED), began.release)) for n in "ab"
            ]
            endless = asyncio.create_task(caller.speak(stream_of("endless", "a", **ENDLESS), began.release))
            for _ in range(3):
                await asyncio.wait_for(began.acquire(), 30)
            os.kill(hub.pid, signal.SIGTERM)
            for name, call in zip("ab", finite, strict=True):
                body, cut = await call
                assert not cut
                assert spoken(body, tone.SAMPLE_RATE) == TEXT.format(name)
            assert (await endless)[1]  # was cut
        assert hub.process.wait(30) == 0
        assert_gone(workers)
        assert "Traceback" not in hub.logged
