"""Callers that leave at any moment, and callers that hardly read: the hub stops working for them, others go on."""

import asyncio
import contextlib
import json
import random

import psutil
import pytest

from hub.settings import WorkerSettings
from tests.support import stepper
from tests.support.callers import AsyncCaller, spoken, stream_of, until

pytestmark = pytest.mark.anyio


class Spy:
    """An observer that remembers the event loop of the hub."""

    loop = None

    def speech_ended(self, report):
        self.loop = asyncio.get_running_loop()

    def worker_crashed(self, model, reason):
        pass


@pytest.fixture
def remote(tmp_path):
    remote = stepper.Remote(tmp_path)
    yield remote
    remote.close()


async def test_leaving_a_stream_frees_the_worker_within_one_chunk(served, caller, remote):
    live = served(stepper, models={"stepper": remote.settings()})
    live.hub.observers.append(spy := Spy())
    leaver = caller(live.url, stream_of("leaves", "stepper"))
    remote.step(3)
    assert len(leaver.answer().read(3 * 4800)) == 3 * 4800
    leaver.leave()
    assert live.reports.ended.get(timeout=30).outcome == "cancelled"
    round_trip = asyncio.run_coroutine_threadsafe(live.hub.models.get("stepper").engine.call("voices"), spy.loop)
    assert await asyncio.wrap_future(round_trip) == []  # by now the worker knows that the caller has left
    remote.step()  # the chunk that the model was making
    next_one = caller(live.url, stream_of("stays", "stepper", chunks=2))
    await until(lambda: {"began": "stays"} in remote.log())  # without another step
    remote.step(2)
    assert len(next_one.answer().read()) == 2 * 4800
    assert remote.log()[:3] == [{"began": "leaves"}, {"ended": "leaves", "chunks": 3}, {"began": "stays"}]


@pytest.mark.parametrize("rudely", [False, True], ids=["close", "reset"])
async def test_a_request_that_leaves_the_queue_never_reaches_the_model(served, caller, remote, rudely):
    live = served(stepper, models={"stepper": remote.settings()})
    lane = live.hub.models.get("stepper").lane
    first = caller(live.url, stream_of("first", "stepper", chunks=2))
    await until(lambda: lane.running == 1)
    leaver = caller(live.url, stream_of("leaver", "stepper", chunks=2))
    await until(lambda: lane.waiting == 1)
    last = caller(live.url, stream_of("last", "stepper", chunks=2))
    await until(lambda: lane.waiting == 2)
    leaver.leave(rudely=rudely)
    report = live.reports.ended.get(timeout=30)  # before the first step of the model
    assert (report.outcome, report.audio, lane.waiting) == ("cancelled", 0, 1)
    remote.step(4)
    assert len(first.answer().read()) == len(last.answer().read()) == 2 * 4800
    assert [entry["began"] for entry in remote.log() if "began" in entry] == ["first", "last"]


async def test_a_reader_that_does_not_read_is_paused_and_delays_no_other(served, caller):
    """It asks for a quarter of an hour and reads nothing: the model pauses it, and the other place stays free."""
    live = served(options={"concurrency": 2}, worker=WorkerSettings(buffer_seconds=5))
    model = live.hub.models.get("tone")
    worker = psutil.Process(model.engine.status.pid)
    seconds = 900.0
    slow = caller(live.url, stream_of("slow", seconds=seconds))
    answer = slow.answer()
    async with AsyncCaller(live.url) as others:
        for index in range(20):
            body, cut = await others.speak(stream_of(f"number {index}"))
            assert (spoken(body, 24_000), cut) == (f"number {index}", False)
    worked = -1.0
    while worked < (worked := sum(worker.cpu_times()[:2])):
        await asyncio.sleep(0.3)  # until the worker is idle
    assert model.lane.running == 1  # the request is still far from its end
    assert len(answer.read()) == seconds * 48_000  # nothing is lost


async def leave_at_some_point(port, chance):
    """Connect, go through some steps of a request, and leave."""
    stream = chance.random() < 0.5
    body = json.dumps({"text": "a stormy day", "stream": stream, "options": {"paced": True, "seconds": 60}}).encode()
    head = b"POST /v1/speech HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    request = head % len(body) + body
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    point = chance.choice(["at once", "in the head", "in the body", "when asked", "a moment later", "while it speaks"])
    cut = {"at once": 0, "in the head": chance.randrange(1, 80), "in the body": len(request) - 5}.get(point)
    writer.write(request[:cut])
    await writer.drain()
    if point == "a moment later":
        await asyncio.sleep(chance.uniform(0, 0.2))
    if point == "while it speaks" and stream:
        await reader.read(chance.randrange(1, 20_000))
    if chance.random() < 0.5:
        writer.transport.abort()  # a reset, not a close
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_a_storm_of_callers_that_leave_leaves_nothing_behind(served):
    live = served(options={"concurrency": 4})
    model = live.hub.models.get("tone")
    live.hub.observers.append(spy := Spy())
    for index in range(5):
        assert live.speak(f"warm {index}").status_code == 200
    me, worker = psutil.Process(), model.engine.status.pid
    before = me.num_fds(), len(asyncio.all_tasks(spy.loop))
    chance = random.Random(1)
    width = asyncio.Semaphore(30)

    async def one():
        async with width:
            await leave_at_some_point(live.port, chance)

    await asyncio.gather(*(one() for _ in range(300)))
    await until(lambda: (model.lane.running, model.lane.waiting, model.engine.status.active) == (0, 0, 0))
    await until(lambda: (me.num_fds(), len(asyncio.all_tasks(spy.loop))) <= before)
    assert spoken(live.speak("after the storm").content) == "after the storm"
    assert (model.engine.status.pid, model.engine.status.crashes) == (worker, 0)
