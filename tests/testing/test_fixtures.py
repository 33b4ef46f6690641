"""Live hubs for plugin authors: real, independent of each other, and gone without a trace."""

import io
import os
import signal
import socket
import threading

import psutil
import pytest
import soundfile

from hub.settings import ModelSettings, Settings, SettingsError
from hub.testing import tone
from hub.testing.fixtures import hub_process, live_hub, serve_hub

__all__ = ["live_hub"]  # the fixture of that name

TONE = Settings(models={"tone": ModelSettings(backend="tone")})
TONE_TOML = '[models.tone]\nbackend = "tone"\n'


def read_back(answer):
    assert answer.status_code == 200, answer.text
    return tone.decode(*soundfile.read(io.BytesIO(answer.content)))


def children():
    return set(psutil.Process().children(recursive=True))


def test_the_installed_hub_speaks(live_hub):
    answer = live_hub.speak("Hello from the hub.")
    assert answer.headers["x-model"] == "hibari"
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert 0.5 < len(samples) / rate < 5


def test_a_hub_with_plugins_of_the_test():
    with serve_hub(TONE, [tone]) as live:
        assert read_back(live.speak("my own text")) == "my own text"
        assert live.hub.models.get("tone").engine.status.state == "ready"
        report = live.reports.ended.get(timeout=10)
        assert (report.model, report.outcome) == ("tone", "ok")


def test_two_hubs_side_by_side():
    with serve_hub(TONE, [tone]) as one, serve_hub(TONE, [tone]) as other:
        assert one.port != other.port
        assert read_back(one.speak("one")) == "one"
        assert read_back(other.speak("other")) == "other"


def test_nothing_is_left_of_a_hub():
    processes, threads = children(), set(threading.enumerate())
    with serve_hub(TONE, [tone]) as live:
        port = live.port
        assert children() - processes
    assert children() <= processes
    assert set(threading.enumerate()) <= threads
    with socket.socket() as connection:
        assert connection.connect_ex(("127.0.0.1", port)) != 0


def test_nothing_is_left_of_a_test_that_failed():
    processes, threads = children(), set(threading.enumerate())
    with pytest.raises(ZeroDivisionError), serve_hub(TONE, [tone]):
        raise ZeroDivisionError
    assert children() <= processes
    assert set(threading.enumerate()) <= threads


def test_invalid_settings_are_reported():
    with (
        pytest.raises(SettingsError, match="no backend 'nobody'"),
        serve_hub(Settings(models={"x": ModelSettings(backend="nobody")})),
    ):
        pass


def test_a_hub_in_its_own_process():
    with hub_process(TONE_TOML, plugins={"tone": "hub.testing.tone"}) as hub:
        assert read_back(hub.client.post("/v1/speech", json={"text": "far away"})) == "far away"
        pid = hub.pid
        assert hub.process.poll() is None
        workers = psutil.Process(pid).children(recursive=True)
        assert workers
    assert not psutil.pid_exists(pid)
    assert psutil.wait_procs(workers, timeout=30)[1] == []


def test_a_hub_that_is_killed():
    with hub_process(TONE_TOML, plugins={"tone": "hub.testing.tone"}) as hub:
        workers = psutil.Process(hub.pid).children(recursive=True)
        os.kill(hub.pid, signal.SIGKILL)
        assert hub.process.wait(30) == -signal.SIGKILL
        assert psutil.wait_procs(workers, timeout=30)[1] == []


def test_a_hub_that_does_not_start_says_why():
    with pytest.raises(RuntimeError, match="no_such_key"), hub_process("no_such_key = 1\n"):
        pass


def test_variables_of_the_test_reach_the_hub_and_those_of_the_developer_do_not(monkeypatch):
    monkeypatch.setenv("TTSHUB_DEFAULT_MODEL", "of-the-developer")
    with hub_process(
        TONE_TOML, plugins={"tone": "hub.testing.tone"}, env={"TTSHUB_MODELS_TONE_CONCURRENCY": "3"}
    ) as hub:
        assert hub.client.get("/v1/models").json()["data"][0]["id"] == "tone"
        assert "of-the-developer" not in hub.logged
