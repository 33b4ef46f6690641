"""Asynchronous tasks survive a restart of the server. The tone backend speaks here."""

import io
import time

import pytest
import soundfile

from hub.settings import ModelSettings, PluginSettings, Settings
from hub.testing import tone
from hub.testing.fixtures import serve_hub
from plugins.fish_speech.tests.support.fishlike import fishlike
from plugins.fish_speech.tests.support.others import OTHER_PLUGINS

TEXT = "said by the next server"


@pytest.fixture
def settings(tmp_path):
    """A hub that keeps its data."""
    return Settings(
        data=str(tmp_path),
        models={"tone": ModelSettings(backend="tone")},
        plugins=PluginSettings(disabled=OTHER_PLUGINS),
    )


def status(live, step_id):
    return live.client.get(f"/get_task_status/{step_id}").json()["status"]


def wait(live, step_id, state):
    for _ in range(400):
        if status(live, step_id) == state:
            return
        time.sleep(0.05)
    raise AssertionError(status(live, step_id))


def test_a_task_goes_on_with_the_next_server(settings):
    request = {"text": TEXT, "model": "tone", "voice": "low", "options": {"step_ms": 120}}
    with serve_hub(settings, [tone, fishlike()]) as first:
        body = {"id": "slow", "request": request, "container": "wav"}
        assert first.client.post("/v1/tasks/fish-speech", json=body).status_code == 201
        quick = {"step_id": "quick", "text": TEXT, "format": "pcm", "seed": 1}
        assert first.client.post("/generate_audio_enhanced_async", json=quick).json()["success"] is True
        wait(first, "slow", "processing")
        wait(first, "quick", "completed")
    with serve_hub(settings, [tone, fishlike()]) as second:
        assert status(second, "quick") == "completed"
        wait(second, "slow", "completed")
        samples, rate = soundfile.read(io.BytesIO(second.client.get("/download_result/slow").content))
    assert tone.decode(samples, rate) == TEXT


def test_a_task_whose_model_fails_says_why(settings):
    with serve_hub(settings, [tone, fishlike()]) as live:
        request = {"text": TEXT, "model": "tone", "options": {"fail_at": 1}}
        live.client.post("/v1/tasks/fish-speech", json={"id": "broken", "request": request})
        wait(live, "broken", "failed")
        state = live.client.get("/get_task_status/broken").json()
        assert state["download_url"] is None
        assert "failed" in state["error"]
        answer = live.client.get("/download_result/broken")
        assert (answer.status_code, "not completed" in answer.json()["detail"]) == (400, True)
