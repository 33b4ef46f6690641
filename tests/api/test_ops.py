import msgspec
import pytest

from hub.api.routes.ops import without_paths
from hub.plugin.spec import hookimpl
from hub.settings import ModelSettings
from hub.version import __version__

SLOW = {"tone": ModelSettings(backend="tone", options={"load_seconds": 3600})}


class broken_plugin:  # noqa: N801
    @staticmethod
    @hookimpl
    def register_backends(settings):
        raise ImportError("cannot import name 'x' from 'y' (/home/somebody/secret/y.py)")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_health(live, method):
    health = live.client.request(method, "/v1/health")
    assert health.status_code == 200
    body = health.json()
    assert (body["status"], body["version"]) == ("ok", __version__)
    assert body["models"][0] | {"running": 0, "waiting": 0, "crashes": 0, "state": "ready"} == {
        "name": "tone",
        "backend": "tone",
        "state": "ready",
        "running": 0,
        "waiting": 0,
        "concurrency": body["models"][0]["concurrency"],
        "crashes": 0,
        "default": True,
        "device": body["models"][0]["device"],
        "memory": body["models"][0]["memory"],
    }


def test_ready_once_the_model_is_up(live):
    live.speak("a text")
    ready = live.client.get("/v1/ready")
    assert (ready.status_code, ready.json()) == (200, {"ready": True, "waiting_for": []})


def test_not_ready_while_a_model_loads(served):
    live = served(models=SLOW)
    ready = live.client.get("/v1/ready")
    assert (ready.status_code, ready.json()) == (503, {"ready": False, "waiting_for": ["tone"]})
    assert live.client.get("/v1/health").json()["ready"] is False


def test_backends_list_all_capabilities_options_and_models(live):
    live.speak("a text")
    found = live.client.get("/v1/backends").json()
    tone = next(backend for backend in found["backends"] if backend["name"] == "tone")
    assert tone["capabilities"]["cloning"] is True
    assert tone["capabilities"]["dialogue"] is False
    assert tone["options_schema"]["$defs"]["ToneOptions"]["properties"]["chunk_ms"]["maximum"] == 1000
    assert tone["models"][0]["status"]["state"] == "ready"
    assert tone["models"][0]["capabilities"]["sample_rate"] == 24_000
    assert found["failures"] == []
    assert "tone" in [plugin["name"] for plugin in found["plugins"]]


def test_a_broken_plugin_is_reported_without_its_paths(served):
    live = served(broken_plugin)
    failures = live.client.get("/v1/backends").json()["failures"]
    assert failures[0]["plugin"] == "broken_plugin" or failures[0]["plugin"] == "type"
    assert "cannot import name 'x' from 'y' (y.py)" in failures[0]["error"]
    assert live.speak("a text").status_code == 200


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("no such file: /etc/hub/models/a.bin", "no such file: a.bin"),
        (r"C:\models\a.bin is missing", "a.bin is missing"),
        ("1/2 of GET /v1/speech and/or https", "1/2 of GET /v1/speech and/or https"),
        ("register_routes: TypeError: x", "register_routes: TypeError: x"),
    ],
)
def test_without_paths(text, safe):
    assert without_paths(text) == safe


def test_responses_are_json_or_msgpack_as_requested(live):
    def kind(**request):
        answer = live.client.get("/v1/ready", **request)
        return answer.headers["content-type"], answer.content

    json, packed = kind()[1], msgspec.msgpack.encode(live.client.get("/v1/ready").json())
    assert kind() == ("application/json", json)
    for name in ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack"):
        assert kind(headers={"Accept": name}) == (name, packed)
    assert kind(headers={"Accept": "application/msgpack;q=0.5, application/json"}) == ("application/json", json)
    assert kind(headers={"Accept": "text/html"}) == ("application/json", json)
    assert kind(params={"format": "msgpack"}) == ("application/msgpack", packed)
    assert kind(params={"format": "json"}, headers={"Accept": "application/msgpack"}) == ("application/json", json)


def test_errors_are_msgpack_too(live):
    answer = live.client.get("/nowhere", headers={"Accept": "application/msgpack"})
    assert answer.headers["content-type"] == "application/msgpack"
    assert msgspec.msgpack.decode(answer.content)["code"] == "not_found"


def test_another_format_is_406(live):
    answer = live.client.get("/v1/ready", params={"format": "xml"})
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")
    assert live.client.get("/nowhere", params={"format": "xml"}).status_code == 404


def test_metrics_count_what_happened(served):
    live = served()
    assert live.speak("hello").status_code == 200
    assert live.speak("hello", options={"fail_at": 0}).status_code == 500
    assert live.speak("hello", options={"crash_at": 0}).status_code == 503
    assert live.speak("hello", model="x" * 50).status_code == 404
    live.reports.crashed.get(timeout=30)
    answer = live.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    from prometheus_client.parser import text_string_to_metric_families

    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    tone = ("model", "tone")
    assert samples["ttshub_requests_total", tone, ("outcome", "ok")] == 1
    assert samples["ttshub_requests_total", tone, ("outcome", "backend_failed")] == 1
    assert samples["ttshub_requests_total", tone, ("outcome", "backend_crashed")] == 1
    assert samples["ttshub_audio_seconds_total", tone] == pytest.approx(0.28)
    assert samples["ttshub_first_audio_seconds_count", tone] == 1
    assert samples["ttshub_real_time_factor_count", tone] == 1
    assert samples["ttshub_worker_crashes_total", tone] == 1
    assert samples["ttshub_underruns_total", tone] == 0
    assert samples["ttshub_running", tone] == 0
    assert samples["ttshub_waiting", tone] == 0
    assert samples["ttshub_asyncio_tasks",] >= 1
    assert "x" * 50 not in answer.text
