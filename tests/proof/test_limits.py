"""Refusals and counts with many callers at once."""

import asyncio

import pytest

from hub.settings import ApiKey, AuthSettings, ModelSettings
from tests.support.callers import ENDLESS, AsyncCaller, metric, spoken, stream_of, until

pytestmark = pytest.mark.anyio


async def test_a_full_queue_refuses_the_rest_and_serves_the_queue(served, caller):
    live = served(models={"tone": ModelSettings(backend="tone", queue=3, options={"concurrency": 2})})
    lane = live.hub.models.get("tone").lane
    speaking = [caller(live.url, stream_of("endless", **ENDLESS)) for _ in range(2)]
    for one in speaking:
        assert one.answer().read(4800)
    async with AsyncCaller(live.url) as others:
        queued = [asyncio.create_task(others.post("/v1/speech", json={"text": f"queued {i}"})) for i in range(3)]
        await until(lambda: lane.waiting == 3)
        refused = await asyncio.gather(*(others.post("/v1/speech", json={"text": "too many"}) for _ in range(10)))
        assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(429, "queue_full")}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        waiting = metric((await others.get("/metrics")).text, "ttshub_waiting", model="tone")
        for one in speaking:
            one.leave()
        answers = await asyncio.gather(*queued)
        metrics = (await others.get("/metrics")).text
    assert waiting == 3
    assert [spoken(answer.content) for answer in answers] == [f"queued {i}" for i in range(3)]
    assert metric(metrics, "ttshub_requests_total", model="tone", outcome="queue_full") == 10
    assert metric(metrics, "ttshub_requests_total", model="tone", outcome="cancelled") == 2
    assert metric(metrics, "ttshub_requests_total", model="tone", outcome="ok") == 3


KEYS = (
    ApiKey(name="few", key="key-with-few-requests", requests_per_minute=3),
    ApiKey(name="short", key="key-with-little-audio", audio_seconds_per_minute=1),
    ApiKey(name="free", key="key-without-limits"),
)


async def test_each_key_has_its_own_limits_however_many_ask_at_once(served):
    live = served(auth=AuthSettings(keys=KEYS))

    async def ask(others, key, count):
        headers = {"Authorization": f"Bearer {key}"}
        text = "twenty-five letters, so a second"
        posts = (others.post("/v1/speech", json={"text": text}, headers=headers) for _ in range(count))
        return await asyncio.gather(*posts)

    async with AsyncCaller(live.url) as others:
        few, free = await asyncio.gather(ask(others, KEYS[0].key, 12), ask(others, KEYS[2].key, 12))
        (first,) = await ask(others, KEYS[1].key, 1)
        (second,) = await ask(others, KEYS[1].key, 1)
    assert sorted(answer.status_code for answer in few) == [200] * 3 + [429] * 9
    assert {answer.json()["code"] for answer in few if answer.status_code == 429} == {"rate_limited"}
    assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in few if answer.status_code == 429)
    assert {answer.status_code for answer in free} == {200}
    assert (first.status_code, second.status_code) == (
        200,
        429,
    )  # its audio used up the limit of the key, so the next one waits
    assert second.json()["detail"]["limit"] == "audio_seconds"


async def test_metrics_show_underruns_and_pace(served):
    live = served()
    smooth = {"seconds": 1.0}
    halting = {"seconds": 0.5, "chunk_ms": 100, "step_ms": 200}  # at half the speed of playback: each chunk is late
    async with AsyncCaller(live.url) as others:
        await others.speak(stream_of("smooth", **smooth))
        before = (await others.get("/metrics")).text
        await others.speak(stream_of("halting", **halting))
        after = (await others.get("/metrics")).text
    assert metric(before, "ttshub_underruns_total", model="tone") == 0
    assert 1 <= metric(after, "ttshub_underruns_total", model="tone") <= 4
    assert metric(after, "ttshub_audio_seconds_total", model="tone") == pytest.approx(1.5)
    assert metric(after, "ttshub_first_audio_seconds_count", model="tone") == 2
    slow = metric(after, "ttshub_real_time_factor_count", model="tone") - metric(
        after, "ttshub_real_time_factor_bucket", model="tone", le="1.0"
    )
    assert slow == 1
