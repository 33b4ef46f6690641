"""A hub that is killed at any moment resumes its tasks, with the same result."""

import random
import time

import numpy as np
import pytest
import soundfile

from hub.plugin.manager import Plugins
from hub.service.hub import Hub
from hub.service.tasks.assemble import PAUSE
from hub.service.tasks.speech_kind import SpeechJob
from hub.service.tasks.speech_plan import SpeechTask, plan
from hub.settings import ModelSettings, Settings, TaskSettings
from hub.testing import tone
from hub.testing.fixtures import hub_process

STEP = 25
"""Milliseconds of work for each chunk: a segment takes a tenth of a second, a task a few seconds."""

CONFIG = """
data = "{data}"
[models.tone]
backend = "tone"
[tasks]
segment_chars = 40
[plugins]
disabled = ["hibari"]
"""

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
LONG = " ".join(f"Sentence {number} has {WORDS[number % 12]}." for number in range(90))


def body(name, seed, step=STEP):
    """Return the body of a long text, of chapters with subtitles or of a batch, by turns of `seed`."""
    options = {"step_ms": step, "chunk_ms": 400}
    kind = seed % 3
    if kind == 0:
        return {"id": name, "text": LONG, "seed": seed, "options": options}
    if kind == 1:
        chapters = [{"title": f"Part {start}", "text": LONG[start : start + 700]} for start in (0, 700, 1400, 9)]
        chosen = {"seed": seed, "options": options, "format": {"container": "flac"}}
        return {"id": name, "chapters": chapters, "subtitles": True, **chosen}
    items = [{"text": f"Item {number} of the batch.", "seed": number, "options": options} for number in range(40)]
    return {"id": name, "items": items}


def result(client, name):
    answer = client.get(f"/v1/tasks/{name}/result")
    assert answer.status_code == 200, answer.text
    return answer.content


def wait_completed(client, name):
    with client.stream("GET", f"/v1/tasks/{name}/events") as events:
        for _ in events.iter_lines():
            pass
    task = client.get(f"/v1/tasks/{name}").json()
    assert task["state"] == "completed", task
    return task


def check_progress(client, accepted, progress):
    """Check that no task failed or lost segments; update `progress`; count the resumed and the unfinished tasks."""
    resumed = unfinished = 0
    for name in accepted:
        task = client.get(f"/v1/tasks/{name}").json()
        done = task["progress"].get("done", 0)
        assert done >= progress.get(name, 0), f"{name} lost segments"
        assert task["state"] != "failed", task
        resumed += 0 < done < task["progress"]["total"]
        unfinished += task["state"] in ("pending", "processing")
        progress[name] = done
    return resumed, unfinished


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_a_task_of_a_hub_killed_at_random_moments_ends_as_if_undisturbed(tmp_path, kills):
    chance = random.Random(20)
    data = tmp_path / "data"
    config = CONFIG.format(data=data)
    plugins = {"tone": "hub.testing.tone"}
    accepted, progress, resumed = [], {}, 0
    for _ in range(kills):
        with hub_process(config, plugins=plugins, ready=False) as hub:
            found, unfinished = check_progress(hub.client, accepted, progress)
            resumed += found
            if unfinished < 2:
                name = f"task-{len(accepted)}"
                answer = hub.client.post("/v1/tasks/speech", json=body(name, len(accepted)))
                assert answer.status_code == 201, answer.text
                accepted.append(name)
            time.sleep(chance.uniform(0.0, 0.5))  # any moment will do
            hub.process.kill()
            hub.process.wait()
    assert resumed >= kills // 3, "the kills hit too little work"

    with hub_process(config, plugins=plugins) as hub:
        survivors = {}
        for name in accepted:
            task = wait_completed(hub.client, name)
            assert task["progress"]["done"] == task["progress"]["total"]
            survivors[name] = result(hub.client, name)
        again = hub.client.post("/v1/tasks/speech", json=body(accepted[0], 0))
        assert (again.status_code, again.json()["state"]) == (200, "completed")
    assert not list(data.glob("tasks/*/scratch")), "the segments' files are still there"

    with hub_process(CONFIG.format(data=tmp_path / "undisturbed"), plugins=plugins) as hub:
        for number, name in enumerate(accepted):
            hub.client.post("/v1/tasks/speech", json=body(name, number, step=0))
        for name in accepted:
            wait_completed(hub.client, name)
            assert result(hub.client, name) == survivors[name], f"{name} differs from an uninterrupted run"
    (tmp_path / "long.wav").write_bytes(survivors["task-0"])
    assert heard(tmp_path / "long.wav", body("task-0", 0)) == LONG


def heard(file, wanted):
    """Decode the text of a long tone, segment by segment."""
    samples, rate = soundfile.read(file)
    settings = Settings(models={"tone": ModelSettings(backend="tone")}, tasks=TaskSettings(segment_chars=40))
    desk = Hub.build(settings, Plugins.discover(extra=[tone])).desk
    job: SpeechJob = plan(desk, settings.tasks, SpeechTask(**wanted))
    at, texts = 0, []
    for segment in job.segments():
        length = (2 + len(segment.request.text.encode())) * tone.SYMBOL
        texts.append(tone.decode(samples[at : at + length], rate))
        assert not np.any(samples[at + length : at + length + round(PAUSE * rate)])
        at += length + round(PAUSE * rate)
    assert at - round(PAUSE * rate) == len(samples)
    return " ".join(texts)
