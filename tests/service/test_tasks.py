"""Long jobs: their acceptance, progress and end."""

import asyncio
import io
import itertools
import os
import signal
import time
from contextlib import aclosing

import msgspec
import numpy as np
import pytest
import soundfile
from msgspec.structs import replace

from hub import hookimpl
from hub.contract import AudioFormat, Reference, SpeechRequest
from hub.contract.caller import current_caller
from hub.contract.errors import (
    BackendCrashed,
    Conflict,
    InvalidAudio,
    InvalidRequest,
    NotFound,
    StorageFailed,
    TooLarge,
    Unavailable,
    UnsupportedCapability,
)
from hub.plugin.tasks import Job
from hub.service.tasks.assemble import PAUSE
from hub.service.tasks.speech_plan import Chapter, SpeechJob, SpeechTask, segment_spans
from hub.settings import ModelSettings, SettingsError, TaskSettings
from hub.testing import tone
from hub.testing.fixtures import Reports

pytestmark = pytest.mark.anyio

LONG = " ".join(f"This is sentence {number}." for number in range(40))
SLOW = {"step_ms": 20}


@pytest.fixture
def tasked(hubs, tmp_path):
    """Return tasked(...), which starts a hub with its data in the test's folder and with short segments."""

    async def make(*, tasks=None, **more):
        settings = TaskSettings(**{"segment_chars": 40, **(tasks or {})})
        return await hubs(data=str(tmp_path), tasks=settings, **more)

    return make


async def ended(hub, id):
    """Wait until a task has ended, and return it."""
    seen = []
    async for task in hub.tasks.watch(id):
        seen.append(task.progress.done)
    assert seen == sorted(seen)
    return task


async def gone(folder):
    """Wait until a folder is removed."""
    while folder.exists():
        await asyncio.sleep(0.01)


async def until(hub, id, done):
    """Wait until so many segments are done."""
    async with aclosing(hub.tasks.watch(id)) as changes:
        async for task in changes:
            if task.progress.done >= done:
                return task


async def submit(hub, **fields):
    task, _ = await hub.tasks.submit("speech", SpeechTask(**fields))
    return task


def bytes_of(hub, task, item=0):
    return (hub.tasks.folder_of(task.id) / task.result["items"][item]["file"]).read_bytes()


async def test_the_same_id_and_body_are_the_same_task_and_another_body_is_a_conflict(tasked):
    hub = await tasked()
    body = SpeechTask(id="mine", text="One. Two.", seed=1)
    both = await asyncio.gather(*(hub.tasks.submit("speech", body) for _ in range(2)))
    assert sorted(new for _, new in both) == [False, True]
    await ended(hub, "mine")
    task, new = await hub.tasks.submit("speech", SpeechTask(id="mine", text="One. Two.", seed=1))
    assert (task.state, new) == ("completed", False)
    with pytest.raises(Conflict):
        await submit(hub, id="mine", text="Something else.")


async def test_a_task_goes_on_where_its_hub_stopped_with_the_seed_that_was_drawn(tasked):
    hub = await tasked()
    task = await submit(hub, id="a", text=LONG, options=SLOW)
    await until(hub, "a", 3)
    await hub.stop()
    hub = await tasked()
    task = await hub.tasks.get("a")
    assert task.progress.done >= 3
    _, data, _ = await hub.tasks._store.job("a")
    seed = msgspec.msgpack.decode(data, type=SpeechJob).items[0].seed
    again = await submit(hub, id="b", text=LONG, seed=seed)
    assert bytes_of(hub, await ended(hub, "a")) == bytes_of(hub, await ended(hub, again.id))
    other = await submit(hub, id="c", text=LONG)
    assert bytes_of(hub, await ended(hub, other.id)) != bytes_of(hub, await ended(hub, "a"))


async def test_a_short_text_sounds_as_a_request_does(tasked):
    hub = await tasked()
    task = await ended(hub, (await submit(hub, text="hello there", seed=7, format=AudioFormat(encoding="f32le"))).id)
    speech = await hub.speak(SpeechRequest(text="hello there", seed=7))
    wanted = b"".join([event.pcm async for event in speech if hasattr(event, "pcm")])
    assert bytes_of(hub, task)[-len(wanted) :] == wanted


async def test_chapters_become_files_with_subtitles_that_fit_them(tasked):
    hub = await tasked()
    chapters = (Chapter(text="It began. It went on.", title="One"), Chapter(text="It ended.", title="Two"))
    task = await ended(hub, (await submit(hub, chapters=chapters, subtitles=True, voice="high")).id)
    assert [item["title"] for item in task.result["items"]] == ["One", "Two"]
    folder = hub.tasks.folder_of(task.id)
    samples, rate = soundfile.read(folder / task.result["items"][1]["file"])
    assert tone.decode(samples, rate) == "It ended."
    assert tone.pitch_of(samples, rate) == tone.PITCHES["high"]
    first = (folder / "0001.srt").read_text()
    assert "It began." in first
    assert "It went on." in first
    # A hidden folder is the scratch folder while it is being removed.
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        f"000{n}.{kind}" for n in (1, 2) for kind in ("srt", "vtt", "wav")
    ]


async def test_a_failed_item_is_reported_beside_the_others(tasked):
    hub = await tasked()
    items = (SpeechRequest(text="Yes."), SpeechRequest(text="No.", options={"fail_at": 0}))
    task = await ended(hub, (await submit(hub, items=items)).id)
    assert (task.state, task.result["failed"]) == ("completed", 1)
    assert task.result["items"][1]["error"]["code"] == "backend_failed"
    task = await ended(hub, (await submit(hub, items=items[1:])).id)
    assert (task.state, task.error["code"]) == ("failed", "backend_failed")
    await gone(hub.tasks.folder_of(task.id))  # which comes after the news that it has failed


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, InvalidRequest),
        ({"text": "a", "items": (SpeechRequest(text="b"),)}, InvalidRequest),
        ({"chapters": (Chapter(text="a"),), "items": (SpeechRequest(text="b"),)}, InvalidRequest),
        ({"chapters": (Chapter(text="a"), Chapter(text="..."))}, InvalidRequest),
        ({"text": "a", "stream": True}, InvalidRequest),
        ({"text": "a" * 200}, TooLarge),
        ({"text": "a", "model": "nobody"}, NotFound),
        ({"text": "a", "scene": "nowhere"}, NotFound),
        ({"text": "a", "dictionary": "unwritten"}, NotFound),
        ({"items": (SpeechRequest(text="a"), SpeechRequest(text="b", voice="nobody"))}, NotFound),
        ({"text": "a", "instruct": "cheerfully"}, InvalidRequest),
        ({"text": "a", "options": {"wrong": 1}}, InvalidRequest),
    ],
)
async def test_mistakes_are_refused_at_once(tasked, fields, error):
    hub = await tasked(tasks={"text_chars": 100})
    await hub.models.get(None).start()
    with pytest.raises(error):
        await submit(hub, **fields)
    assert await hub.tasks.page() == []


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("audio", [b"", b"\0\0\0", b"junk, and no recording"])
async def test_a_damaged_recording_is_refused_at_once(tasked, loaded, audio):
    hub = await tasked()
    if loaded:
        await hub.models.get(None).start()
    damaged = SpeechRequest(text="b", references=(Reference(audio=audio),))
    with pytest.raises(InvalidAudio):
        await submit(hub, text="a", references=damaged.references)
    with pytest.raises(InvalidAudio) as refusal:
        await submit(hub, items=(SpeechRequest(text="a"), damaged))
    assert refusal.value.message.startswith("item 2: ")
    assert await hub.tasks.page() == []


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG"])
async def test_a_recording_is_measured_as_it_sounds(tasked, form):
    hub = await tasked()
    model = hub.models.get(None)
    loaded = await model.start()
    model.engine._loaded = replace(loaded, capabilities=replace(loaded.capabilities, min_reference=0.8))
    for seconds, fits in ((1.0, True), (0.5, False)):
        file = io.BytesIO()
        soundfile.write(file, 0.3 * np.sin(np.arange(int(24_000 * seconds)) / 20), 24_000, format=form)
        given = {"text": "Hello there.", "references": (Reference(audio=file.getvalue()),)}
        if fits:
            assert (await ended(hub, (await submit(hub, **given)).id)).state == "completed"
        else:
            with pytest.raises(UnsupportedCapability, match=r"0\.5 s"):
                await submit(hub, **given)


async def test_cancelling_stops_the_model_in_the_middle_of_a_segment(tasked):
    hub = await tasked(tasks={"concurrency": 1})
    reports = Reports()
    hub.observers.append(reports)
    await submit(hub, id="long", text="hum", options={"seconds": 5000.0, "paced": True})
    waiting = await submit(hub, id="waiting", text=LONG)
    (model,) = (model for model in hub.models if model.name == "tone")
    while not model.lane.running or model.engine.status.active == 0:
        await asyncio.sleep(0.01)
    assert (await hub.tasks.cancel("waiting")).state == "cancelled"
    task = await hub.tasks.cancel("long")
    assert task.state == "cancelled"
    assert (await asyncio.to_thread(reports.ended.get, timeout=10)).outcome == "cancelled"
    while model.lane.running:
        await asyncio.sleep(0.01)
    await gone(hub.tasks.folder_of("long"))
    assert (await hub.tasks.cancel("long")).state == "cancelled"
    done = await ended(hub, (await submit(hub, text="Done.")).id)
    with pytest.raises(Conflict):
        await hub.tasks.cancel(done.id)
    await hub.tasks.delete(done.id)
    with pytest.raises(NotFound):
        await hub.tasks.get(done.id)
    assert [task.id for task in await hub.tasks.page()] == [waiting.id, "long"]


async def test_a_worker_that_crashes_delays_a_task_and_one_that_always_crashes_fails_it(tasked):
    hub = await tasked()
    (model,) = (model for model in hub.models if model.name == "tone")
    await submit(hub, id="a", text=LONG, options=SLOW, seed=3)
    await until(hub, "a", 2)
    os.kill(model.engine.status.pid, signal.SIGKILL)
    task = await ended(hub, "a")
    await submit(hub, id="b", text=LONG, seed=3)
    assert bytes_of(hub, task) == bytes_of(hub, await ended(hub, "b"))
    task = await ended(hub, (await submit(hub, text="Boom.", options={"crash_at": 0})).id)
    assert (task.state, task.error["code"]) == ("failed", BackendCrashed.code)


async def test_requests_go_before_tasks(tasked):
    hub = await tasked(model={"options": {"concurrency": 1}})
    await submit(hub, id="a", text=LONG, options=SLOW)
    for number in range(3):
        await until(hub, "a", number + 1)
        speech = await hub.speak(SpeechRequest(text="quick"))
        await speech.aclose()
    task = await hub.tasks.get("a")
    assert task.state == "processing"
    assert task.progress.done < 10, "requests waited for more than the segment under way"
    await hub.tasks.cancel("a")


async def test_a_busy_model_makes_a_task_wait_and_one_place_is_left_to_requests(tasked):
    hub = await tasked(model={"options": {"concurrency": 3}, "queue": 0}, tasks={"places": 8})
    (model,) = (model for model in hub.models if model.name == "tone")
    held = [await hub.speak(SpeechRequest(text="hum", options={"seconds": 600.0, "paced": True})) for _ in range(3)]
    await submit(hub, id="a", text=LONG, options={"step_ms": 5})
    await until(hub, "a", 0)
    assert (await hub.tasks.get("a")).progress.done == 0
    for speech in held:
        await speech.aclose()
    most = 0
    async for task in hub.tasks.watch("a"):
        if task.progress.done > 10:  # the held requests have left by now
            most = max(most, model.lane.running)
    assert (await hub.tasks.get("a")).state == "completed"
    assert 0 < most <= 2


async def test_results_expire(tasked):
    hub = await tasked(tasks={"keep_hours": 0.5 / 3600})
    task = await ended(hub, (await submit(hub, text="Soon gone.")).id)
    folder = hub.tasks.folder_of(task.id)
    while folder.exists():
        await asyncio.sleep(0.02)
    assert time.time() >= task.finished + 0.5
    with pytest.raises(NotFound):
        await hub.tasks.get(task.id)


async def test_a_data_folder_that_cannot_be_written_is_reported_and_breaks_nothing_else(hubs, tmp_path):
    (tmp_path / "file").write_text("in the way")
    hub = await hubs(data=str(tmp_path / "file"))
    with pytest.raises(StorageFailed) as caught:
        await submit(hub, text="Hello.")
    assert str(tmp_path) not in caught.value.message
    await (await hub.speak(SpeechRequest(text="still speaks"))).aclose()


async def test_two_hubs_do_not_work_on_the_same_tasks(tasked):
    first, second = await tasked(), await tasked()
    await submit(first, text="Mine.")
    with pytest.raises(Unavailable):
        await submit(second, text="Also mine.")
    await first.stop()
    assert len(await second.tasks.page()) == 1


async def test_the_next_hub_takes_over_by_itself_when_the_first_one_stops(tasked):
    first = await tasked()
    await submit(first, id="a", text=LONG, options=SLOW)
    await until(first, "a", 1)
    second = await tasked()
    with pytest.raises(Unavailable):
        await second.tasks.get("a")
    reports = Reports()
    second.observers.append(reports)
    await first.stop()
    assert (await asyncio.to_thread(reports.ended.get, timeout=20)).request_id.startswith("a-")
    assert (await ended(second, "a")).state == "completed"


async def test_a_damaged_database_is_reported(tasked, tmp_path):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "tasks.db").write_bytes(b"no database at all, " * 100)
    hub = await tasked()
    with pytest.raises(StorageFailed, match="damaged"):
        await submit(hub, text="Hello.")


class Key:
    """An API key."""

    def __init__(self, name):
        self.name = name
        self.seconds = 0.0

    def charge_audio(self, seconds):
        self.seconds += seconds


async def test_a_key_sees_its_own_tasks_and_pays_for_them(tasked):
    hub = await tasked()
    ann, ben = Key("ann"), Key("ben")
    hub.tasks.caller_of = {"ann": ann, "ben": ben}.get

    async def as_key(key, work):
        current_caller.set(key)
        return await work

    task = await asyncio.create_task(as_key(ann, submit(hub, id="a", text="Ann speaks.")))
    await ended(hub, "a")
    assert ann.seconds == pytest.approx((await hub.tasks.get("a")).progress.audio, abs=0.01)
    assert ben.seconds == 0
    with pytest.raises(NotFound):
        await asyncio.create_task(as_key(ben, hub.tasks.get("a")))
    with pytest.raises(Conflict):
        await asyncio.create_task(as_key(ben, submit(hub, id="a", text="Ann speaks.")))
    assert await asyncio.create_task(as_key(ben, hub.tasks.page())) == []
    assert [found.id for found in await asyncio.create_task(as_key(ann, hub.tasks.page()))] == [task.id]


class Count(msgspec.Struct):
    """The body of the kind `count`."""

    to: int


class Counting:
    """A plugin's kind of task, with steps that a test can watch and hold."""

    name = "count"
    body = Count

    def __init__(self):
        self.steps = []
        self.gate = asyncio.Event()

    async def accept(self, hub, body):
        if body.to < 0:
            raise InvalidRequest("`to` is negative")
        return Job(data=msgspec.json.encode(body), steps=body.to)

    async def run(self, work):
        done = await work.done()
        for number in range(msgspec.json.decode(work.job, type=Count).to):
            if number not in done:
                if number == 2:
                    await self.gate.wait()
                self.steps.append(number)
                await work.finish_step(number, b"")
        return {"counted": True}


class Kinds:
    """A plugin with kinds of tasks."""

    def __init__(self, *kinds):
        self.kinds = list(kinds)

    @hookimpl
    def register_task_kinds(self, settings):
        return self.kinds


async def test_a_plugins_kinds_of_tasks_survive_too(tasked):
    first, second = Counting(), Counting()
    hub = await tasked(plugins=(Kinds(first),))
    with pytest.raises(InvalidRequest):
        await hub.tasks.submit("count", Count(to=-1))
    task, _ = await hub.tasks.submit("count", Count(to=4))
    await until(hub, task.id, 2)
    await hub.stop()
    hub = await tasked(plugins=(Kinds(second),))
    second.gate.set()
    task = await ended(hub, task.id)
    assert (task.result, first.steps, second.steps) == ({"counted": True}, [0, 1], [2, 3])


async def test_a_kind_that_cannot_be_used_is_its_plugins_failure(tasked):
    taken, odd = Counting(), Counting()
    taken.name, odd.name = "speech", "Not A Name"
    hub = await tasked(plugins=(Kinds(taken, odd),))
    assert list(hub.tasks.kinds) == ["speech"]
    assert [failure.plugin for failure in hub.plugins.failures] == ["kinds", "kinds"]


@pytest.mark.parametrize("size", [40, 240])
async def test_segments_lose_no_word_and_keep_to_their_size(size):
    text = "\n\n".join(f"Paragraph {n}. " + "It has some sentences, too. " * n + "[pause:1s]" for n in range(12))
    spans = list(segment_spans(text, size))
    assert "".join("".join(text[a:b] for a, b in spans).split()) == "".join(text.split())
    assert all(b - a <= size + len("[pause:1s]") + 1 for a, b in spans)
    assert all(text[a:b].replace("[pause:1s]", "").strip() for a, b in spans)
    assert all(a < b <= c for (a, b), (c, _) in itertools.pairwise(spans))


async def test_pauses_lie_between_segments(tasked):
    hub = await tasked()
    task = await ended(hub, (await submit(hub, text=LONG[:70], seed=1)).id)
    samples, rate = soundfile.read(hub.tasks.folder_of(task.id) / "0001.wav")
    silent = np.flatnonzero(np.convolve(samples != 0, np.ones(round(PAUSE * rate)), "valid") == 0)
    assert len(silent) == task.progress.total - 1


async def test_postgresql_is_a_url_away(hubs, tmp_path):
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateTable

    from hub.service.tasks import tables

    for table in tables.metadata.sorted_tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))
    with pytest.raises(SettingsError, match="database"):
        await hubs(database="mysql://nowhere", data=str(tmp_path), models={"tone": ModelSettings(backend="tone")})
