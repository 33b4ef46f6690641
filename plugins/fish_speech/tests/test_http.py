"""Fish Speech's own API on a tiny S1, over a real socket."""

import base64
import io
import json
import time
import wave

import msgspec
import numpy as np
import pytest
import soundfile

from hub.testing.sounds import alike
from plugins.fish_speech.tests.support.served import FRAME

MSGPACK = {"content-type": "application/msgpack"}
TTS = {"text": "Hello there, friend.", "max_new_tokens": 6, "seed": 7}


def samples(body: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(body), dtype="int16")[0]


@pytest.fixture
def client(fish_hub):
    return fish_hub.client


@pytest.fixture
def say(client):
    """Speak; a 200, and its body."""

    def say(**fields):
        answer = client.post("/v1/tts", json={**TTS, **fields})
        assert answer.status_code == 200, answer.text
        return answer.content

    return say


@pytest.fixture
def kept(client, recording):
    """A reference `ann`, gone after the test."""
    answer = client.post("/v1/references/add", data={"id": "ann", "text": "what Ann says"}, files={"audio": recording})
    assert answer.status_code == 200, answer.text
    yield "ann"
    client.request("DELETE", "/v1/references/delete", json={"reference_id": "ann"})


def test_all_routes_are_at_their_paths_and_under_compat(client):
    assert client.get("/v1/backends").json()["failures"] == []
    assert client.get("/v1/backends").json()["notes"] == []
    for base in ("", "/compat/fish_speech"):
        for method in ("GET", "POST"):
            assert client.request(method, f"{base}/v1/health").json()["status"] == "ok"
        assert client.get(f"{base}/v1/references/list").json()["success"] is True
    assert client.get("/compat/fish_speech/v1/health").json() == {"status": "ok"}


def test_a_whole_answer(client):
    answer = client.post("/v1/tts?format=json", json=TTS)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["content-disposition"] == "attachment; filename=audio.wav"
    assert int(answer.headers["content-length"]) == len(answer.content)
    with wave.open(io.BytesIO(answer.content)) as audio:
        assert (audio.getnchannels(), audio.getsampwidth(), audio.getframerate()) == (1, 2, 44_100)
        assert audio.getnframes() == len(samples(answer.content)) > 0
    assert alike(client.post("/v1/tts", json=TTS).content, answer.content)
    assert not alike(client.post("/v1/tts", json={**TTS, "seed": 8}).content, answer.content)


def test_a_streamed_answer_is_a_wav_with_an_open_end_and_bare_samples_on_request(client, say):
    whole = samples(say())
    with client.stream("POST", "/v1/tts", json={**TTS, "streaming": True}) as answer:
        body = b"".join(answer.iter_bytes())
    assert answer.headers["content-type"] == "audio/wav"
    assert "content-length" not in answer.headers
    assert body[:4] == b"RIFF"
    assert body[4:8] == body[40:44] == b"\xff\xff\xff\xff"
    streamed = np.frombuffer(body[44:], "<i2")
    assert np.abs(streamed.astype(int) - whole).max() <= 2  # each is dithered
    for query, fields in (("?raw=true", {}), ("", {"format": "pcm"})):
        raw = client.post(f"/v1/tts{query}", json={**TTS, "streaming": True, **fields}).content
        assert np.abs(np.frombuffer(raw, "<i2").astype(int) - whole).max() <= 2


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("container", "media_type", "magic"),
    [
        ("mp3", "audio/mpeg", b"\xff\xfb"),
        ("opus", "audio/ogg", b"OggS"),
        ("flac", "audio/flac", b"fLaC"),
        ("pcm", "application/octet-stream", b""),
    ],
)
def test_containers(client, container, media_type, magic, streaming):
    answer = client.post("/v1/tts", json={**TTS, "format": container, "streaming": streaming})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == media_type
    assert answer.headers["content-disposition"] == f"attachment; filename=audio.{container}"
    assert answer.content.startswith(magic)


def test_the_same_request_as_json_msgpack_and_form(client, say, recording):
    reference = {"audio": recording, "text": "what I say"}
    packed = client.post(
        "/v1/tts?format=msgpack", content=msgspec.msgpack.encode({**TTS, "references": [reference]}), headers=MSGPACK
    )
    as_json = {**reference, "audio": base64.b64encode(recording).decode()}
    expected = say(references=[as_json])
    assert alike(packed.content, expected)
    assert not alike(expected, say())
    texts = {name: str(value) for name, value in TTS.items()}
    for form in (
        {"data": {**texts, "reference_text": "what I say"}, "files": {"reference_audio": recording}},
        {"data": {**texts, "references": json.dumps([as_json])}, "files": {"other": b"an unknown field"}},
    ):
        answer = client.post("/v1/tts", **form)
        assert answer.status_code == 200, answer.text
        assert alike(answer.content, expected)


def test_nulls_and_unknown_fields(say):
    nothing = dict.fromkeys(
        ("chunk_length", "references", "reference_id", "use_memory_cache", "normalize", "streaming", "top_p", "format")
    )
    more = {"latency": "balanced", "features": ["quality-guard"], "min_chunk_length": 50, "prosody": {"speed": None}}
    assert say(**nothing, **more) == say()


def test_a_short_text_in_json_is_no_base64(client):
    """The text is taken for the bytes themselves, as in the vendor's server; these are not audio."""
    short = base64.b64encode(b"not a recording").decode()
    answer = client.post("/v1/tts", json={**TTS, "references": [{"audio": short, "text": "x"}]})
    assert answer.status_code == 400
    assert "not audio" in answer.json()["detail"]


def test_what_a_request_says_changes_what_is_spoken(say):
    plain = say()
    assert all(say(**{name: 0.3}) != plain for name in ("top_p", "temperature"))
    assert say(repetition_penalty=2.0, max_new_tokens=24) != say(max_new_tokens=24)
    assert len(samples(say(max_new_tokens=4))) < len(samples(plain))
    long = "One sentence is here, and it is long enough. " * 4
    assert say(text=long, chunk_length=100, max_new_tokens=3) != say(text=long, chunk_length=200, max_new_tokens=3)


def test_references_are_voices(client, say, kept, recording, fish_hub):
    inline = [{"audio": base64.b64encode(recording).decode(), "text": "what Ann says"}]
    assert client.get("/v1/references/list").json() == {
        "success": True,
        "message": "Found 1 reference voices",
        "reference_ids": ["ann"],
    }
    assert client.get("/v1/voices/ann").json()["recordings"][0]["text"] == "what Ann says"
    spoken = say(reference_id="ann")
    assert spoken == say(references=inline) != say()
    other = [{"audio": inline[0]["audio"], "text": "quite another text"}]
    assert say(reference_id="ann", references=other, use_memory_cache="on") == spoken  # the id comes first
    again = client.post("/v1/references/add", data={"id": "ann", "text": "x"}, files={"audio": recording})
    assert (again.status_code, again.json()["message"]) == (409, "Reference ID 'ann' already exists")
    renamed = client.post("/v1/references/update", json={"old_reference_id": "ann", "new_reference_id": "eve 2"})
    assert renamed.json() == {
        "success": True,
        "message": "Reference voice renamed from 'ann' to 'eve 2' successfully",
        "old_reference_id": "ann",
        "new_reference_id": "eve 2",
    }
    assert say(reference_id="eve 2") == spoken
    gone = client.request("DELETE", "/v1/references/delete", json={"reference_id": "eve 2"})
    assert gone.json() == {
        "success": True,
        "message": "Reference voice 'eve 2' deleted successfully",
        "reference_id": "eve 2",
    }
    unknown = client.post("/v1/tts", json={**TTS, "reference_id": "eve 2"})
    assert unknown.status_code == 404
    assert "eve 2" in unknown.json()["detail"]


def test_answers_about_references_come_as_the_caller_wants(client, kept):
    for query, headers in (("?format=msgpack", {}), ("", {"accept": "application/msgpack"})):
        answer = client.get(f"/v1/references/list{query}", headers=headers)
        assert answer.headers["content-type"] == "application/msgpack"
        assert msgspec.msgpack.decode(answer.content)["reference_ids"] == [kept]
    for query, headers in (("?format=json", {"accept": "application/msgpack"}), ("?format=xml", {}), ("", {})):
        assert client.get(f"/v1/references/list{query}", headers=headers).json()["reference_ids"] == [kept]
    packed = msgspec.msgpack.encode({"reference_id": "nobody"})
    answer = client.request("DELETE", "/v1/references/delete?format=msgpack", content=packed, headers=MSGPACK)
    assert answer.status_code == 404
    assert msgspec.msgpack.decode(answer.content)["message"] == "Reference ID 'nobody' not found"


def wait(client, step_id, *states):
    for _ in range(600):
        status = client.get(f"/get_task_status/{step_id}").json()
        if status["status"] in states:
            return status
        time.sleep(0.05)
    raise AssertionError(status)


def test_a_task_from_its_beginning_to_its_file(client, say):
    body = {**TTS, "step_id": "task_001", "format": "wav"}
    packed = client.post(
        "/generate_audio_enhanced_async?format=msgpack", content=msgspec.msgpack.encode(body), headers=MSGPACK
    )
    assert msgspec.msgpack.decode(packed.content) == {
        "success": True,
        "message": "Task created and started",
        "step_id": "task_001",
        "status": "pending",
    }
    status = wait(client, "task_001", "completed")
    assert status["download_url"] == "/download_result/task_001"
    assert status["created_at"] <= status["started_at"] <= status["completed_at"]
    assert status["error"] is None
    answer = client.get(status["download_url"])
    assert answer.headers["content-type"] == "audio/wav"
    assert 'filename="task_001.wav"' in answer.headers["content-disposition"]
    assert np.abs(samples(answer.content).astype(int) - samples(say())).max() <= 2
    with wave.open(io.BytesIO(answer.content)) as audio:
        assert audio.getnframes() == len(samples(answer.content))
    again = client.post("/generate_audio_enhanced_async", json=body)
    assert (again.status_code, again.json()["status"]) == (200, "completed")
    other = client.post("/generate_audio_enhanced_async", json={**body, "text": "Something else."})
    assert other.status_code == 409
    stopped = client.post("/stop_async_task/task_001")
    assert stopped.status_code == 409
    assert stopped.json()["success"] is False


def test_a_task_is_an_mp3_unless_it_says_otherwise(client):
    client.post("/generate_audio_enhanced_async", json={**TTS, "step_id": "Aufgabe 2 ü"})
    wait(client, "Aufgabe 2 ü", "completed")
    answer = client.get("/download_result/Aufgabe 2 ü")
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.content[:2] == b"\xff\xfb"


def test_a_running_task_stops(client, fish_hub):
    endless = {"text": "A very long text. " * 200, "chunk_length": 100}
    client.post("/generate_audio_enhanced_async", json={**endless, "step_id": "long"})
    wait(client, "long", "processing")
    early = client.get("/download_result/long")
    assert early.status_code == 400
    assert "not completed" in early.json()["detail"]
    answer = client.post("/stop_async_task/long")
    assert answer.json() == {"success": True, "message": "Task long stopped", "step_id": "long"}
    assert client.get("/get_task_status/long").json()["status"] == "cancelled"
    for number in range(3):
        client.post("/generate_audio_enhanced_async", json={**endless, "step_id": f"long{number}"})
    assert client.post("/stop_generation").json() == {"success": True, "message": "Stopped 3 task(s)"}
    assert client.post("/stop_generation").json()["message"] == "Stopped 0 task(s)"
    for _ in range(200):
        if client.get("/v1/health").json()["models"][0]["running"] == 0:
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the model still speaks for a task that was stopped")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/get_task_status/none"), ("GET", "/download_result/none"), ("POST", "/stop_async_task/none")],
)
def test_a_task_that_is_not_there(client, method, path):
    answer = client.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["detail"] == "Task none not found"
    if "status" in path:
        assert answer.json()["status"] == "not_found"


def test_a_task_for_an_unknown_voice_is_refused_at_once(client):
    answer = client.post("/generate_audio_enhanced_async", json={**TTS, "step_id": "no", "reference_id": "nobody"})
    assert answer.status_code == 404
    assert answer.json()["success"] is False
    assert client.get("/get_task_status/no").status_code == 404


def test_voices_are_the_models_of_the_vendors_sdk(client, kept, recording):
    listed = client.get("/model", params={"title": "AN", "page_size": 5}).json()
    assert [(item["_id"], item["title"], item["state"]) for item in listed["items"]] == [("ann", "ann", "trained")]
    assert client.get("/model", params={"title": "nobody"}).json() == {"total": 0, "items": []}
    made = client.post(
        "/model",
        data={"title": "Bob Roß", "texts": ["one", "two"], "tags": ["calm"]},
        files=[("voices", recording), ("voices", recording)],
    )
    assert made.status_code == 201, made.text
    voice = made.json()
    assert (voice["title"], [sample["text"] for sample in voice["samples"]]) == ("Bob Roß", ["one", "two"])
    changed = client.patch(f"/model/{voice['_id']}", data={"title": "Rob"}).json()
    assert (changed["title"], changed["tags"]) == ("Rob", ["calm"])
    assert client.get(f"/model/{voice['_id']}").json() == changed
    assert client.delete(f"/model/{voice['_id']}").status_code == 200
    assert client.get(f"/model/{voice['_id']}").status_code == 404
    uneven = client.post("/model", data={"title": "x", "texts": ["1", "2"]}, files={"voices": recording})
    assert uneven.status_code == 400


def test_a_caller_who_leaves_stops_the_model(client, fish_hub):
    with client.stream(
        "POST", "/v1/tts", json={"text": "On and on. " * 100, "chunk_length": 100, "streaming": True}
    ) as answer:
        next(answer.iter_bytes())
    report = fish_hub.reports.ended.get(timeout=30)
    while report.outcome != "cancelled":
        report = fish_hub.reports.ended.get(timeout=30)


@pytest.mark.parametrize("packed", [True, False])
def test_the_codec_there_and_back(client, recording, packed):
    def ask(path, body):
        if packed:
            answer = client.post(f"{path}?format=msgpack", content=msgspec.msgpack.encode(body), headers=MSGPACK)
            return msgspec.msgpack.decode(answer.content)
        return client.post(path, json=body).json()

    audio = recording if packed else base64.b64encode(recording).decode()
    tokens = ask("/v1/vqgan/encode", {"audios": [audio, audio]})["tokens"]
    assert tokens[0] == tokens[1]
    assert {len(row) for row in tokens[0]} == {-(-22_050 // FRAME)}  # half a second at 44.1 kHz
    audios = ask("/v1/vqgan/decode", {"tokens": [tokens[0], [row[:3] for row in tokens[0]]]})["audios"]
    whole, first = (np.frombuffer(one if packed else base64.b64decode(one), "<f2") for one in audios)
    assert (len(whole), len(first)) == (len(tokens[0][0]) * FRAME, 3 * FRAME)
    assert np.allclose(whole[: len(first)].astype("f4"), first.astype("f4"), atol=2e-3)
    assert 0 < np.abs(whole.astype("f4")).max() <= 1


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("encode", {"audios": [base64.b64encode(b"no audio").decode()]}, "not audio"),
        ("encode", {"audios": "x" * 300}, "not audio"),
        ("encode", {}, "audios"),
        ("decode", {"tokens": [[[1, 2], [3]]]}, "length"),
        ("decode", {"tokens": [[[2**40]]]}, "tokens"),
        ("decode", {"tokens": [[[1]]]}, "codebook"),
        ("decode", {"tokens": [[[-1]] * 9]}, "tokens"),
        ("decode", {"tokens": [[]]}, "no tokens"),
        ("decode", {}, "tokens"),
    ],
)
def test_what_the_codec_cannot_take(client, path, body, words):
    answer = client.post(f"/v1/vqgan/{path}", json=body)
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["detail"]
