"""Residency: which models are loaded and unloaded, and why. Every worker here is a real process."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys

import psutil
import pytest

from hub.contract.errors import (
    BackendCrashed,
    BackendUnavailable,
    DeadlineExceeded,
    HubError,
    WorkerStartFailed,
)
from hub.contract.event import AudioChunk
from hub.contract.speech import SpeechRequest
from hub.plugin.manager import Plugins
from hub.service.disk.sizes import parse_size, show_size
from hub.service.hub import Hub
from hub.service.models.memory import device_of, used
from hub.settings import DeviceSettings, ModelSettings, Settings, SettingsError
from hub.testing import tone

pytestmark = pytest.mark.anyio


def models(**needs):
    """Models by name, each with its need in MiB, or with further settings."""
    found = {}
    for name, need in needs.items():
        settings = need if isinstance(need, dict) else {"memory": f"{need} MiB"}
        found[name] = ModelSettings(**{"backend": "tone", "device": "cpu", "preload": False, **settings})
    return found


def budget(mebibytes):
    return {"cpu": DeviceSettings(memory=f"{mebibytes} MiB")}


async def say(hub, model, text="hello", **options):
    """Return the text that a listener hears; raise the error that a caller would see."""
    samples = []
    async for event in await hub.speak(SpeechRequest(text=text, model=model, options=options)):
        if isinstance(event, AudioChunk):
            samples.extend(event.samples)
    return tone.decode(samples, tone.SAMPLE_RATE)


async def begin(hub, model, **options):
    """Begin a stream that lasts until it is closed."""
    return await hub.speak(SpeechRequest(text="x", model=model, options={"seconds": 3600.0, "paced": True, **options}))


def up(hub):
    return {model.name for model in hub.models if model.engine.status.state == "ready"}


def history(hub, model):
    """The decisions about a model, without the measurements, which come at no certain time."""
    actions = [decision.action for decision in hub.models.get(model).decisions()]
    return [action for action in actions if action != "measured"]


async def until(hub, condition):
    """Wait for a change of residency that makes `condition()` true."""
    async with asyncio.timeout(60):
        while not condition():
            await hub.models.residency._change.wait()


async def spawned(hub, model):
    """Wait until the model has a process; it need not be ready."""
    async with asyncio.timeout(60):
        while hub.models.get(model).engine.status.pid is None:
            await asyncio.sleep(0.01)


async def test_the_one_not_used_for_longest_makes_room(hubs):
    hub = await hubs(models=models(a=50, b=50, c=50), devices=budget(100))
    assert not up(hub)
    assert hub.ready  # nothing is marked `preload`
    for name in "aba":
        assert await say(hub, name, name) == name
    pid = hub.models.get("b").engine.status.pid
    assert await say(hub, "c", "third") == "third"
    assert up(hub) == {"a", "c"}
    assert not psutil.pid_exists(pid)
    last = hub.models.get("b").decisions()[-1]
    assert (last.action, last.before, last.after) == ("evict", 100 * 2**20, 50 * 2**20)
    assert "'c' needs 50 MiB" in last.why
    assert history(hub, "c")[:1] == ["load"]
    memory = hub.models.get("c").memory()
    assert (memory.need, memory.source, memory.loaded, memory.budget) == (
        50 * 2**20,
        "settings",
        100 * 2**20,
        100 * 2**20,
    )


async def test_busy_models_stay_and_the_next_one_waits_for_them(hubs):
    hub = await hubs(models=models(a=60, b=60), devices=budget(100))
    speech = await begin(hub, "a")
    waiting = asyncio.create_task(say(hub, "b", "patience"))
    await until(hub, lambda: "wait" in history(hub, "b"))
    assert up(hub) == {"a"}
    await speech.aclose()
    assert await waiting == "patience"
    assert up(hub) == {"b"}
    assert hub.models.residency.total("cpu") == 60 * 2**20


async def test_no_room_in_time_is_a_503_that_says_who_holds_it(hubs):
    hub = await hubs(models=models(a=60, b={"memory": "60 MiB", "deadline": 0.2}), devices=budget(100))
    speech = await begin(hub, "a")
    with pytest.raises(DeadlineExceeded, match=r"needs 60 MiB.*'a' \(60 MiB\)") as caught:
        await say(hub, "b")
    assert caught.value.retry_after
    assert history(hub, "b") == ["wait", "refuse"]
    assert up(hub) == {"a"}
    await speech.aclose()


async def test_a_model_at_rest_is_unloaded_and_comes_back(hubs):
    resting = {"memory": "10 MiB", "idle_unload": 0.05, "preload": True}
    hub = await hubs(models=models(a=resting))
    await until(hub, lambda: "unload" in history(hub, "a"))
    assert not up(hub)
    assert hub.ready  # on purpose
    speech = await begin(hub, "a")
    for _ in range(3):  # at work for longer than it may rest
        await asyncio.sleep(0.05)
        assert up(hub) == {"a"}
    await speech.aclose()
    await until(hub, lambda: history(hub, "a").count("unload") == 2)
    assert history(hub, "a") == ["load", "ready", "unload"] * 2


async def test_unloading_waits_for_running_requests_and_lets_no_other_in(hubs):
    hub = await hubs(models=models(a=10))
    model = hub.models.get("a")
    await model.unload()  # it is not loaded: nothing happens
    speech = await begin(hub, "a")
    pid = model.engine.status.pid
    with pytest.raises(DeadlineExceeded, match="still speaking"):
        await model.unload(until=asyncio.get_running_loop().time() + 0.05)
    unloading = asyncio.create_task(model.unload())
    await asyncio.sleep(0)
    queued = asyncio.create_task(say(hub, "a", "next"))
    await asyncio.sleep(0.05)
    assert model.engine.status.pid == pid
    await speech.aclose()
    await unloading
    assert not psutil.pid_exists(pid)
    assert await queued == "next"  # in a new worker


async def test_force_ends_streams_with_a_fault(hubs):
    hub = await hubs(models=models(a=10))
    speech = await begin(hub, "a")
    await hub.models.get("a").unload(force=True)
    with pytest.raises(BackendUnavailable, match="being unloaded"):
        async for _ in speech:
            pass
    assert not up(hub)


async def test_a_forced_unload_during_a_load_fails_the_requests_that_wait(hubs):
    hub = await hubs(models=models(a={"options": {"load_seconds": 60.0}}))
    waiting = asyncio.create_task(say(hub, "a"))
    await spawned(hub, "a")
    await hub.models.get("a").unload(force=True)
    with pytest.raises(BackendUnavailable, match="being unloaded"):
        await waiting


async def test_held_models_stay(hubs):
    hub = await hubs(models=models(a=60, b={"memory": "60 MiB", "deadline": 0.1}), devices=budget(100))
    async with hub.models.get("a").hold():
        with pytest.raises(DeadlineExceeded):
            await say(hub, "b")
    await hub.models.get("b").start(asyncio.get_running_loop().time() + 60)
    assert up(hub) == {"b"}


async def test_preloading_unloads_no_other_model(hubs):
    first, second = ({"memory": "60 MiB", "preload": True} for _ in range(2))
    hub = await hubs(models=models(a=first, b=second), devices=budget(100))
    await until(hub, lambda: "ready" in history(hub, "a") and "refuse" in history(hub, "b"))
    assert up(hub) == {"a"}
    assert hub.ready
    assert await say(hub, "b", "on demand") == "on demand"


async def test_what_is_not_declared_is_measured(hubs):
    """A worker of the tone backend holds some 30 MB: two of them do not fit into 45."""
    hub = await hubs(models=models(a={}, b={}), devices=budget(45))
    assert hub.models.get("a").memory().source == "unknown"
    await say(hub, "a")
    await until(hub, lambda: hub.models.get("a").memory().held is not None)
    memory = hub.models.get("a").memory()
    resident = psutil.Process(hub.models.get("a").engine.status.pid).memory_info().rss
    assert memory.source == "measured"
    assert memory.held == pytest.approx(resident, rel=0.5)
    await say(hub, "b")
    await until(hub, lambda: "evict" in history(hub, "a"))
    assert "over its budget" in hub.models.get("a").decisions()[-1].why
    assert await say(hub, "a", "again") == "again"  # now its need is known: b goes before it is loaded
    assert history(hub, "b")[-1] == "evict"


async def test_the_size_of_its_files_is_the_first_guess(hubs, tmp_path):
    (tmp_path / "weights").write_bytes(bytes(3 * 2**20))
    hub = await hubs(models=models(a={"path": str(tmp_path), "options": {"load_seconds": 60.0}}))
    loading = asyncio.create_task(hub.models.get("a").start())
    await until(hub, lambda: "load" in history(hub, "a"))
    memory = hub.models.get("a").memory()
    assert (memory.need, memory.source, memory.counted) == (3 * 2**20, "files", 3 * 2**20)
    loading.cancel()


async def test_no_model_is_unloaded_for_one_that_cannot_start(hubs):
    broken = {"memory": "60 MiB", "options": {"fail_load": True}}
    from hub.settings import WorkerSettings

    hub = await hubs(
        models=models(a=60, bad=broken), devices=budget(100), worker=WorkerSettings(backoff_first=0, breaker_crashes=1)
    )
    with pytest.raises(WorkerStartFailed):
        await say(hub, "bad")
    assert history(hub, "bad") == ["load", "failed"]
    assert hub.models.residency.total("cpu") == 0
    await say(hub, "a")
    with pytest.raises(BackendUnavailable, match="in a row"):
        await say(hub, "bad")
    assert up(hub) == {"a"}


async def test_a_crash_keeps_its_room_until_the_respawn_is_up_or_fails(hubs):
    hub = await hubs(models=models(a={"memory": "1 MiB"}))
    await say(hub, "a")
    await until(hub, lambda: hub.models.get("a").memory().held is not None)
    os.kill(hub.models.get("a").engine.status.pid, signal.SIGKILL)
    await until(hub, lambda: "crash" in history(hub, "a"))
    memory = hub.models.get("a").memory()
    assert (memory.held, memory.counted) == (None, 2**20)
    await until(hub, lambda: hub.models.get("a").memory().held is not None)  # the new worker's
    assert up(hub) == {"a"}
    assert await say(hub, "a", "back") == "back"


async def test_a_need_over_the_budget_is_an_error_of_the_settings():
    settings = Settings(models=models(a=200), devices=budget(100))
    with pytest.raises(SettingsError, match=r"models\.a\.memory: 200 MiB is over the budget of cpu, 100 MiB"):
        Hub.build(settings, Plugins.discover(extra=[tone], settings=settings))


async def test_an_impossible_device_is_an_error_of_the_settings():
    settings = Settings(models=models(a=1), devices={"gpu": DeviceSettings(memory="1 GiB")})
    with pytest.raises(SettingsError, match=r"devices\.gpu: a device is cpu, mps"):
        Hub.build(settings, Plugins.discover(extra=[tone], settings=settings))


EXPECTED = (BackendCrashed, BackendUnavailable, DeadlineExceeded, WorkerStartFailed)


def workers():
    """The worker processes of this process; a server that tests share may have some."""
    children = psutil.Process().children(recursive=True)
    return {child.pid for child in children if "hub.engine.worker" in child.cmdline()}


@pytest.mark.parametrize(("seed", "violent"), [(1, False), (2, True), (3, True)])
async def test_everything_at_once(hubs, seed, violent):
    """Requests, loads, unloads, kills, all at the same time. The budget holds at every moment, every answer is right or
    a typed error, and no request loses its model. At the end every model can speak, and then no worker is left."""
    before = workers()
    dice = random.Random(seed)
    hub = await hubs(
        models=models(
            **{
                name: {"memory": f"{size} MiB", "deadline": 60.0}
                for name, size in zip("abcd", (50, 50, 60, 90), strict=True)
            }
        ),
        devices=budget(120),
    )
    names = [model.name for model in hub.models]
    done = asyncio.Event()

    async def watch():
        while not done.is_set():
            assert hub.models.residency.total("cpu") <= 120 * 2**20
            for model in hub.models:
                assert not (model.engine.status.state == "ready" and not model._seat.resident)
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)

    async def act(number):
        model = hub.models.get(dice.choice(names))
        await asyncio.sleep(dice.random() * 3)
        kinds = ["speak"] * 5 + ["load", "unload", "leave"] + (["force", "kill", "kill"] if violent else [])
        kind = dice.choice(kinds)
        if kind == "speak":
            assert await say(hub, model.name, f"{number}", chunk_ms=40, step_ms=2.0) == f"{number}"
        elif kind == "load":
            await model.start(asyncio.get_running_loop().time() + 60)
        elif kind == "leave":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(dice.random()):
                    await say(hub, model.name, "never heard", step_ms=50.0)
        elif kind == "kill":
            if (pid := model.engine.status.pid) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        else:
            await model.unload(force=kind == "force", until=asyncio.get_running_loop().time() + 60)

    watcher = asyncio.create_task(watch())
    outcomes = await asyncio.gather(*map(act, range(50)), return_exceptions=True)
    bad = [one for one in outcomes if one is not None and not (violent and isinstance(one, EXPECTED))]
    assert not bad
    for name in names:
        assert await say(hub, name, f"after all {name}") == f"after all {name}"
    done.set()
    await watcher
    await asyncio.gather(*(model.unload() for model in hub.models))
    assert hub.models.residency.total("cpu") == 0
    assert workers() == before
    assert not any(model._seat.wanted or model._seat.holds or model.lane.running for model in hub.models)


async def test_stopping_the_hub_ends_loads_and_waiting_requests(hubs):
    slow = {"memory": "60 MiB", "options": {"load_seconds": 60.0}}
    hub = await hubs(models=models(a=slow, b=60), devices=budget(100))
    loading = asyncio.create_task(say(hub, "a"))
    await spawned(hub, "a")
    waiting = asyncio.create_task(say(hub, "b"))
    await until(hub, lambda: "wait" in history(hub, "b"))
    await hub.stop()
    for task in (loading, waiting):
        with pytest.raises(HubError) as caught:
            await task
        assert caught.value.status == 503
    with pytest.raises(BackendUnavailable, match="stopping"):
        await hub.models.get("a").start()


def test_sizes():
    assert [parse_size(text) for text in ("8 GiB", "500MB", "1.5 KiB", "7 B", "2 tb")] == [
        8 * 2**30,
        500 * 10**6,
        1536,
        7,
        2 * 10**12,
    ]
    for text in ("", "8", "GiB", "8 GiBs", "-1 GB", "8 XB"):
        with pytest.raises(ValueError, match="invalid size"):
            parse_size(text)
    shown = {
        0: "0 B",
        1023: "1023 B",
        1024: "1 KiB",
        512 * 2**20: "512 MiB",
        int(1.44 * 2**30): "1.4 GiB",
        2**44: "16 TiB",
    }
    assert {size: show_size(size) for size in shown} == shown
    settings = {"cuda": "cuda:0", "cuda:1": "cuda:1", "cpu": "cpu", "mps": "mps"}
    assert {setting: device_of(setting) for setting in settings} == settings


def test_memory_counts_the_processes_that_a_worker_starts():
    child = "import subprocess, sys; x = bytearray(b'1' * 50_000_000); print('up', flush=True); sys.stdin.read()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    with process:
        assert process.stdout.readline() == b"up\n"
        assert used("cpu", [process.pid])[process.pid] > 50_000_000
        process.stdin.close()
    assert used("cpu", [process.pid]) == {}


async def test_a_worker_that_says_what_it_holds_is_believed(hubs):
    """And the system is asked about the others."""
    hub = await hubs(models=models(a={"options": {"device_memory": 5 * 2**40}}, b={}), devices={})
    for name in "ab":
        await say(hub, name)
    await until(hub, lambda: all(hub.models.get(name).memory().held is not None for name in "ab"))
    assert hub.models.get("a").memory().held == 5 * 2**40
    assert 2**20 < hub.models.get("b").memory().held < 2**40
    assert hub.models.get("a").status().memory == 5 * 2**40


def test_gpu_memory_is_what_the_driver_reports_for_the_worker_and_its_children(tmp_path, monkeypatch):
    """The lines are those of a real nvidia-smi; the process of another program is not counted."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text(
        f'#!/bin/sh\n[ "$2" = 1 ] || exit 9\nprintf "{os.getpid()}, 2048\\n99999999, 512\\n{os.getpid()}, [N/A]\\n"\n'
    )
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert used("cuda:1", [os.getpid()]) == {os.getpid(): 2 * 2**30}
    assert used("cuda:0", [os.getpid()]) == {}
