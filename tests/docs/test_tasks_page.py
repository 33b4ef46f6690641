"""docs/tasks.md: its settings are the defaults, and its kind of task works."""

import importlib
import sys
import tomllib

import msgspec

from hub.settings import PluginSettings, Settings, TaskSettings
from hub.testing.fixtures import serve_hub
from tests.support.pages import blocks, read

BLOCKS = blocks(read("docs/tasks.md"))


def test_all_settings_are_shown_with_their_defaults():
    (shown,) = (tomllib.loads(block.text) for block in BLOCKS if block.language == "toml")
    assert shown == {"database": Settings().database, "tasks": msgspec.to_builtins(TaskSettings())}


def test_the_examples_run(shell):
    assert shell.follow("docs/tasks.md") >= 8


def test_the_kind_of_task_counts(tmp_path, monkeypatch):
    (example,) = (block for block in BLOCKS if block.title)
    (tmp_path / example.title).write_text(example.text)
    monkeypatch.syspath_prepend(str(tmp_path))
    plugin = importlib.import_module("my_tasks")
    settings = Settings(data=str(tmp_path), plugins=PluginSettings(disabled=("hibari",)))
    with serve_hub(settings, [plugin]) as live:
        assert live.hub.plugins.failures == []
        answer = live.client.post("/v1/tasks/count", json={"to": 3, "id": "three"})
        assert answer.status_code == 201, answer.text
        assert live.client.post("/v1/tasks/count", json={"to": 0}).json()["code"] == "invalid_request"
        assert live.client.post("/v1/tasks/count", json={"two": 0}).status_code == 400
        events = live.client.get("/v1/tasks/three/events").text
        assert '"result":{"counted":3}' in events
        assert live.client.get("/v1/tasks/three/result").status_code == 404
        assert "/v1/tasks/count" in live.client.get("/openapi.json").json()["paths"]
    del sys.modules["my_tasks"]
