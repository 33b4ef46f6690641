"""A disk that is really full, and one that is read-only: a small file system, if the test may mount one."""

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import asyncio, os, subprocess, sys
from pathlib import Path

import soundfile

from hub.contract.errors import StorageFailed
from hub.plugin.manager import Plugins
from hub.service.tasks import tasks
from hub.service.hub import Hub
from hub.service.tasks.speech_plan import SpeechTask
from hub.settings import ModelSettings, Settings
from hub.testing import tone

tasks.STORAGE_PAUSE = 0.2
data = Path(sys.argv[1])

def mount(*options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(data)], check=True)

def free():
    found = os.statvfs(data)
    return found.f_bavail * found.f_frsize

async def waiting(hub, id):
    async for task in hub.tasks.watch(id):
        if task.error:
            return task

async def refused(hub, **fields):
    try:
        await hub.tasks.submit("speech", SpeechTask(**fields))
    except StorageFailed as error:
        return error.message
    raise AssertionError("it was accepted")

async def main():
    settings = Settings(data=str(data), models={"tone": ModelSettings(backend="tone")})
    hub = Hub.build(settings, Plugins.discover(extra=[tone]))
    await hub.start()
    await hub.tasks.submit("speech", SpeechTask(id="first", text="The first one."))
    async for _ in hub.tasks.watch("first"):
        pass

    filler = data / "filler"
    filler.write_bytes(bytes(free() - 150_000))
    text = "This sentence takes room on the disk. " * 8
    await hub.tasks.submit("speech", SpeechTask(id="a", text=text.strip()))
    task = await waiting(hub, "a")
    assert task.state == "processing" and task.error["code"] == "storage_failed", task
    assert "disk is full" in task.error["message"], task
    filler.open("ab").write(bytes(max(0, free() - 4096)))
    assert "disk is full" in await refused(hub, id="b", text="x " * 20_000)
    speech = await hub.speak(__import__("hub").contract.SpeechRequest(text="requests go on"))
    await speech.aclose()
    filler.unlink()
    async for task in hub.tasks.watch("a"):
        pass
    assert task.state == "completed" and task.error is None, task

    await hub.stop()
    mount("remount", "ro")
    hub = Hub.build(settings, Plugins.discover(extra=[tone]))
    await hub.start()
    assert "read-only" in await refused(hub, id="c", text="No room.")
    mount("remount", "rw")
    assert (await hub.tasks.get("a")).state == "completed"
    await hub.tasks.submit("speech", SpeechTask(id="c", text="There is room."))
    async for task in hub.tasks.watch("c"):
        pass
    samples, rate = soundfile.read(hub.tasks.folder_of("c") / "0001.wav")
    assert tone.decode(samples, rate) == "There is room."
    await hub.stop()

mount("size=3m")
asyncio.run(main())
print("nothing was lost")
"""


def can_mount(folder):
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def test_a_full_and_a_read_only_disk_make_tasks_wait_and_lose_nothing(tmp_path):
    if not can_mount(tmp_path):
        pytest.skip("this system lets no user mount a file system")
    command = ["unshare", "-rm", sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.stdout == "nothing was lost\n", done.stderr
