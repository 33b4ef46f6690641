"""Models over HTTP: state, memory, ledger, loading and unloading, against a real server."""

import json
import os
import re
import threading
import time

import httpx
import openai
import pytest

from hub.settings import DeviceSettings, ModelSettings

MEBI = 2**20


@pytest.fixture(scope="module")
def pair(served_once):
    """Two models, of which only one fits at a time."""
    settings = {"backend": "tone", "device": "cpu", "memory": "60 MiB", "preload": False, "deadline": 30.0}
    models = {
        "one": ModelSettings(**settings),
        "two": ModelSettings(**settings),
        "impatient": ModelSettings(**{**settings, "deadline": 0.05}),
    }
    return served_once(models=models, devices={"cpu": DeviceSettings(memory="100 MiB")})


def show(live, name):
    answer = live.client.get(f"/v1/models/{name}")
    assert answer.status_code == 200
    return answer.json()


def post(live, path, **params):
    answer = live.client.post(f"/v1/models/{path}", params=params)
    return answer.status_code, answer.json()


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_loading_and_unloading_can_be_repeated(pair):
    assert show(pair, "one")["status"]["state"] == "stopped"
    for _ in range(2):
        status, body = post(pair, "one/load")
        assert (status, body["status"]["state"], body["id"], body["object"]) == (200, "ready", "one", "model")
    pid = pair.hub.models.get("one").engine.status.pid
    for _ in range(2):
        status, body = post(pair, "one/unload")
        assert (status, body["status"]["state"], body["memory"]["loaded"]) == (200, "stopped", 0)
    assert not alive(pid)
    assert [entry["action"] for entry in body["ledger"] if entry["action"] != "measured"] == ["load", "ready", "unload"]
    assert body["ledger"][0] | {"time": 0, "before": 0} == {
        "time": 0,
        "model": "one",
        "action": "load",
        "why": "by command; it needs 60 MiB, as its settings say",
        "device": "cpu",
        "before": 0,
        "after": 60 * MEBI,
    }
    assert pair.client.get("/v1/ready").json() == {"ready": True, "waiting_for": []}


def test_a_request_evicts_an_idle_model_and_the_ledger_says_so(pair):
    post(pair, "two/load")
    assert pair.speak("hello", model="one").status_code == 200
    evicted = show(pair, "two")
    assert evicted["status"]["state"] == "stopped"
    assert evicted["ledger"][-1]["action"] == "evict"
    assert evicted["ledger"][-1]["why"].startswith("'one' needs 60 MiB; not used for ")
    assert evicted["memory"] == {
        "device": "cpu",
        "need": 60 * MEBI,
        "source": "settings",
        "held": None,
        "counted": 0,
        "loaded": 60 * MEBI,
        "budget": 100 * MEBI,
    }
    assert show(pair, "one")["last_used"] > evicted["last_used"]


def test_no_room_before_the_deadline_is_503_with_retry_after(pair, raw):
    connection, answer = raw(
        pair, "/v1/speech", {"text": "x", "model": "one", "stream": True, "options": {"seconds": 60, "paced": True}}
    )
    assert b"200" in answer.readline()
    refused = pair.speak("hello", model="impatient")
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert refused.json()["code"] == "deadline_exceeded"
    assert "'one' (60 MiB)" in refused.json()["message"]
    status, body = post(pair, "impatient/load")
    assert (status, body["error"]["code"]) == (503, "deadline_exceeded")
    forced = post(pair, "one/unload", force=True)
    assert (forced[0], forced[1]["status"]["state"]) == (200, "stopped")
    connection.close()
    assert pair.speak("hello", model="two").status_code == 200


def test_unloading_lets_a_stream_end(pair):
    heard = []
    began = threading.Event()

    def listen():
        body = {"text": "x", "model": "one", "stream": True, "options": {"seconds": 1.0, "paced": True, "chunk_ms": 50}}
        with httpx.stream("POST", f"{pair.url}/v1/speech", json=body, timeout=60) as answer:
            for part in answer.iter_bytes():
                heard.append(len(part))
                began.set()

    listener = threading.Thread(target=listen)
    listener.start()
    assert began.wait(60)
    status, body = post(pair, "one/unload")
    assert (status, body["status"]["state"]) == (200, "stopped")
    listener.join(60)
    assert sum(heard) == 44 + 2 * 24_000


def test_metrics_show_the_memory_of_models(pair):
    post(pair, "two/load")
    deadline = time.monotonic() + 30
    while (held := show(pair, "two")["memory"]["held"]) is None:
        assert time.monotonic() < deadline
    shown = re.search(r'ttshub_model_memory_bytes\{device="cpu",model="two"\} (\S+)', pair.client.get("/metrics").text)
    assert float(shown[1]) == held > 1e6


def test_the_sdk_reads_a_model_and_errors_have_openais_shape(pair):
    with openai.OpenAI(api_key="none", base_url=f"{pair.url}/v1", max_retries=0) as sdk:
        model = sdk.models.retrieve("two")
    assert (model.id, model.object, model.owned_by) == ("two", "model", "tone")
    assert model.memory["need"] == 60 * MEBI
    for path in ("nobody", "nobody/load", "nobody/unload"):
        answer = pair.client.request("GET" if path == "nobody" else "POST", f"/v1/models/{path}")
        assert answer.status_code == 404
        assert json.loads(answer.content)["error"]["code"] == "model_not_found"
    status, body = post(pair, "one/unload", force="perhaps")
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
