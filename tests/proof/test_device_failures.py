"""A device that fails or is full, over HTTP: its callers get a typed error, and the next request is answered."""

import asyncio

import pytest

from hub.settings import ModelSettings, WorkerSettings
from hub.testing import tone
from tests.support.callers import PACED, AsyncCaller, metric, spoken, stream_of

TEXT = "{} is to say this to the very end"


@pytest.mark.anyio
async def test_a_device_that_fails_costs_its_own_streams_and_nothing_else(served):
    models = {name: ModelSettings(backend="tone") for name in ("gpu", "other")}
    live = served(models=models, worker=WorkerSettings(backoff_first=0.01))
    began = [asyncio.Event() for _ in range(5)]
    async with AsyncCaller(live.url) as caller:
        cut = [
            asyncio.create_task(caller.speak(stream_of("x", "gpu", seconds=3600.0, **PACED), one.set))
            for one in began[:4]
        ]
        whole = asyncio.create_task(caller.speak(stream_of(TEXT.format("other"), "other", **PACED), began[4].set))
        for one in began:
            await asyncio.wait_for(one.wait(), 30)
        before = live.hub.models.get("gpu").engine.status.pid
        failed = await caller.post("/v1/speech", json={"text": "x", "model": "gpu", "options": {"break_at": 0}})
        assert (failed.status_code, failed.json()["code"]) == (503, "backend_crashed")
        assert "which is a mistake of the backend or of the driver" in failed.json()["message"]
        assert all(was_cut for _, was_cut in await asyncio.gather(*cut))
        again = await caller.post("/v1/speech", json={"text": "it is back", "model": "gpu"})
        assert spoken(again.content) == "it is back"
        body, was_cut = await whole
        assert (spoken(body, tone.SAMPLE_RATE), was_cut) == (TEXT.format("other"), False)
        metrics = (await caller.get("/metrics")).text
    assert live.hub.models.get("gpu").engine.status.pid != before
    assert metric(metrics, "ttshub_worker_crashes_total", model="gpu") == 1
    assert metric(metrics, "ttshub_requests_total", model="gpu", outcome="backend_crashed") == 5
    decisions = [(one.action, one.why) for one in live.hub.models.get("gpu").decisions()]
    assert ("crash", "the worker lost its device") in decisions


def test_a_full_device_costs_one_request(served):
    live = served()
    pid = live.hub.models.get("tone").engine.status.pid
    for _ in range(3):
        refused = live.speak("a long text", options={"full_at": 0})
        assert (refused.status_code, refused.json()["code"]) == (503, "out_of_memory")
        assert refused.headers["Retry-After"] == "5"
        assert spoken(live.speak("a short one").content) == "a short one"
    assert live.hub.models.get("tone").engine.status.pid == pid
