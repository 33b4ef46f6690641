"""/v1/tasks against a real server."""

import io
import json
import threading
import zipfile

import msgspec
import pytest
import soundfile

from hub.api.http import sse
from hub.settings import ApiKey, AuthSettings, LimitSettings, TaskSettings
from hub.testing import tone

EMPTY = {"empty": True}
LONG = " ".join(f"This is sentence {number}." for number in range(30))


@pytest.fixture(scope="module")
def tasked(served_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    live = served_once(data=str(folder), tasks=TaskSettings(segment_chars=40), limits=LimitSettings(text_chars=500))
    live.wait_ready()
    return live


def create(live, **body):
    answer = live.client.post("/v1/tasks/speech", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/tasks/{answer.json()['id']}"
    return answer.json()["id"]


def follow(live, id, **headers):
    """(event, id, task) of each event."""
    with live.client.stream("GET", f"/v1/tasks/{id}/events", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        fields = {}
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            fields[name] = value
            if not line and "data" in fields:
                yield fields["event"], fields.get("id"), json.loads(fields["data"])
                fields = {}


def finished(live, id):
    return list(follow(live, id))[-1][2]


def test_a_text_longer_than_a_request_may_be_becomes_one_file(tasked):
    id = create(tasked, text=LONG, seed=1)
    events = list(follow(tasked, id))
    assert {name for name, _, _ in events[:-1]} == {"progress"}
    name, number, task = events[-1]
    assert (name, task["state"]) == ("end", "completed")
    assert number == f"completed-{task['progress']['total']}"
    answer = tasked.client.get(f"/v1/tasks/{id}/result")
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["content-disposition"].startswith("attachment")
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert len(samples) / rate == pytest.approx(task["result"]["seconds"], abs=0.01)


def test_a_repeated_request_is_one_task_and_another_body_is_refused(tasked):
    id = create(tasked, id="twice", text="Once.")
    again = tasked.client.post("/v1/tasks/speech", json={"text": "Once.", "id": id})
    assert (again.status_code, again.json()["id"]) == (200, id)
    other = tasked.client.post("/v1/tasks/speech", json={"id": id, "text": "Twice."})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


def test_a_batch_is_an_archive_or_item_by_item(tasked):
    items = [
        {"text": "Yes."},
        {"text": "No.", "format": {"container": "flac"}},
        {"text": "Who?", "options": {"empty": True}},
    ]
    id = create(tasked, items=items, subtitles=True)
    task = finished(tasked, id)
    assert [item.get("media_type") for item in task["result"]["items"]] == ["audio/wav", "audio/flac", None]
    archive = zipfile.ZipFile(io.BytesIO(tasked.client.get(f"/v1/tasks/{id}/result").content))
    assert archive.testzip() is None
    names = [f"000{number}.{kind}" for number, sound in ((1, "wav"), (2, "flac")) for kind in (sound, "srt", "vtt")]
    assert archive.namelist() == names
    second = tasked.client.get(f"/v1/tasks/{id}/result?item=2")
    assert second.headers["content-type"] == "audio/flac"
    samples, rate = soundfile.read(io.BytesIO(second.content))
    assert tone.decode(samples, rate) == "No."
    srt = tasked.client.get(f"/v1/tasks/{id}/result?item=2&subtitles=srt")
    assert srt.text == "1\n00:00:00,000 --> 00:00:00,200\nNo.\n"
    vtt = tasked.client.get(f"/v1/tasks/{id}/result?item=1&subtitles=vtt")
    assert vtt.headers["content-type"].startswith("text/vtt")
    for query, status in (("item=3", 404), ("item=4", 404), ("item=0", 400), ("subtitles=ass", 400)):
        assert tasked.client.get(f"/v1/tasks/{id}/result?{query}").status_code == status


def test_msgpack_both_ways(tasked):
    body = msgspec.msgpack.encode({"text": "Packed."})
    headers = {"content-type": "application/msgpack", "accept": "application/msgpack"}
    answer = tasked.client.post("/v1/tasks/speech", content=body, headers=headers)
    assert msgspec.msgpack.decode(answer.content)["kind"] == "speech"


def test_pages_and_filters(tasked):
    ids = [create(tasked, text=f"Number {number}.") for number in range(5)]
    for id in ids:
        finished(tasked, id)
    found, before = [], ""
    while len(found) < 5:
        page = tasked.client.get(f"/v1/tasks?limit=2&state=completed&kind=speech{before}").json()
        assert len(page["tasks"]) == 2
        assert all("items" not in str(task["result"].get("items")) for task in page["tasks"])
        found += [task["id"] for task in page["tasks"]]
        before = f"&before={page['next']}"
    assert found[:5] == ids[::-1]
    assert tasked.client.get("/v1/tasks?kind=nothing").json() == {"tasks": [], "next": None}
    assert tasked.client.get("/v1/tasks?state=dreaming").status_code == 400
    assert tasked.client.get("/v1/tasks?limit=0").status_code == 400


def test_cancel_and_delete(tasked):
    id = create(tasked, text="hum", options={"seconds": 1000.0, "paced": True})
    client = tasked.client
    assert client.get(f"/v1/tasks/{id}/result").status_code == 409
    assert client.post(f"/v1/tasks/{id}/cancel").json()["state"] == "cancelled"
    assert list(follow(tasked, id))[-1][0] == "end"
    assert client.get(f"/v1/tasks/{id}/result").status_code == 409
    assert client.delete(f"/v1/tasks/{id}").status_code == 204
    missing = [client.get(f"/v1/tasks/{id}"), client.delete(f"/v1/tasks/{id}"), client.post(f"/v1/tasks/{id}/cancel")]
    missing += [client.get(f"/v1/tasks/{id}/events"), client.get(f"/v1/tasks/{id}/result")]
    assert {answer.status_code for answer in missing} == {404}


def test_silent_events_are_pinged_and_continue_after_the_last_one_seen(tasked, monkeypatch):
    monkeypatch.setattr(sse, "PING_PERIOD", 0.05)
    id = create(tasked, text="hum", options={"seconds": 1000.0, "paced": True})
    while tasked.client.get(f"/v1/tasks/{id}").json()["state"] != "processing":
        pass
    with tasked.client.stream("GET", f"/v1/tasks/{id}/events", headers={"Last-Event-ID": "processing-0"}) as answer:
        lines = answer.iter_lines()
        assert next(lines) == ": ping"
        threading.Thread(target=tasked.client.post, args=(f"/v1/tasks/{id}/cancel",)).start()
        sent = [line for line in lines if line.startswith("event")]
    assert sent == ["event: end"]


def test_errors_name_the_item_or_field(tasked):
    for body, code, words in (
        ({"items": [{"text": "Yes."}, {"text": "..."}]}, "unspeakable_text", "item 2"),
        ({"items": [{"text": "a", "nonsense": 1}]}, "invalid_request", "nonsense"),
        ({"items": [{"text": "a", "voice": "nobody"}]}, "unknown_voice", "item 1"),
        ({"text": "a", "id": "../../etc"}, "invalid_request", "id"),
        ({"text": "a", "items": [{"text": "b"}]}, "invalid_request", "items"),
        ({"items": [{"text": "a"}] * 1001}, "invalid_request", "items"),
        ({}, "empty_text", "no text"),
    ):
        answer = tasked.client.post("/v1/tasks/speech", json=body)
        status = 404 if code == "unknown_voice" else 400
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert words in answer.json()["message"]


def test_each_key_sees_only_its_own_tasks(served, tmp_path):
    keys = (ApiKey(name="ann", key="ann's secret"), ApiKey(name="ben", key="ben's secret"))
    live = served(data=str(tmp_path), auth=AuthSettings(keys=keys))
    ann, ben = ({"x-api-key": key.key} for key in keys)
    assert live.client.get("/v1/tasks").status_code == 401
    answer = live.client.post("/v1/tasks/speech", json={"id": "a", "text": "Mine."}, headers=ann)
    assert answer.status_code == 201
    assert live.client.get("/v1/tasks/a", headers=ann).status_code == 200
    assert live.client.get("/v1/tasks/a", headers=ben).status_code == 404
    assert live.client.post("/v1/tasks/a/cancel", headers=ben).status_code == 404
    assert live.client.get("/v1/tasks", headers=ben).json()["tasks"] == []
