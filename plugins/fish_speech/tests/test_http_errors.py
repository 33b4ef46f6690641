"""A wrong request to Fish Speech's API gets an error in the API's form, and never a 5xx.

The routes speak with the tone backend here: it is up at once, and wrong requests are refused before a model sees them.
"""

import json
import random

import msgspec
import pytest

from hub.settings import ApiKey, AuthSettings, CompatSettings, LimitSettings, ModelSettings, PluginSettings, Settings
from hub.testing import tone
from hub.testing.fixtures import serve_hub
from plugins.fish_speech.tests.support.fishlike import fishlike
from plugins.fish_speech.tests.support.others import OTHER_PLUGINS

KEY = "a-long-key"
TTS = "/v1/tts"


@pytest.fixture(scope="module")
def served():
    settings = Settings(
        models={"tone": ModelSettings(backend="tone", options={"codec": True})},
        plugins=PluginSettings(disabled=OTHER_PLUGINS),
        auth=AuthSettings(keys=(ApiKey(name="a", key=KEY),)),
        limits=LimitSettings(body_bytes=200_000),
        compat={"fish_speech": CompatSettings(options={"max_text_length": 50})},
    )
    with serve_hub(settings, [tone, fishlike()]) as live:
        live.client.headers["authorization"] = f"Bearer {KEY}"
        yield live


@pytest.fixture
def client(served):
    return served.client


def refusal(answer, status):
    """The message of an error, which has the documented key and the vendor's."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["detail"] == body["message"]
    assert body["statusCode"] == status
    assert body["error"]
    return body["detail"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": None}, "text: Field required"),
        ({"text": 7}, "text:"),
        ({"text": "  "}, "no text"),
        ({"text": "?!"}, "no letter"),
        ({"text": "x" * 51}, "Text is too long, max length is 50"),
        ({"format": "xyz"}, "format: Input should be 'aac', 'flac', 'mp3', 'opus', 'pcm' or 'wav'"),
        ({"chunk_length": 99}, "chunk_length"),
        ({"chunk_length": 301}, "chunk_length"),
        ({"chunk_length": "many"}, "chunk_length"),
        ({"top_p": 0.09}, "top_p"),
        ({"top_p": 1.01}, "top_p"),
        ({"temperature": 0.0}, "temperature"),
        ({"temperature": 1.1}, "temperature"),
        ({"repetition_penalty": 0.89}, "repetition_penalty"),
        ({"repetition_penalty": 2.1}, "repetition_penalty"),
        ({"max_new_tokens": -1}, "max_new_tokens"),
        ({"use_memory_cache": "perhaps"}, "use_memory_cache"),
        ({"seed": "x"}, "seed"),
        ({"streaming": "perhaps"}, "streaming"),
        ({"normalize": []}, "normalize"),
        ({"references": "none"}, "references"),
        ({"references": {"audio": 1}}, "references"),
        ({"references": [{"text": "no audio"}]}, "audio"),
        ({"references": [{"audio": "QUJD", "text": "short"}]}, "not audio"),
        ({"references": [{"audio": "QUJD" * 100, "text": "long"}]}, "not audio"),
        ({"references": [{"audio": "x", "text": "x"}] * 17}, "references"),
        ({"sample_rate": 1}, "sample_rate"),
        ({"format": "opus", "opus_bitrate": 900}, "opus_bitrate"),
        ({"format": "mp3", "mp3_bitrate": 65}, "kbit/s"),
        ({"prosody": {"volume": 3}}, "volume"),
        ({"prosody": {"speed": 9}}, "prosody"),
    ],
)
def test_fields_that_do_not_fit(client, fields, words):
    assert words in refusal(client.post(TTS, json={"text": "hello", **fields}), 400)


@pytest.mark.parametrize(
    "fields",
    [
        {"chunk_length": 100},
        {"chunk_length": 300},
        *({"top_p": value, "temperature": value} for value in (0.1, 1.0, 1)),
        {"repetition_penalty": 0.9},
        {"repetition_penalty": 2},
        {"max_new_tokens": 0},
        {"use_memory_cache": "on"},
        {"seed": -5},
        {"text": "x" * 50},
        {"format": "opus", "opus_bitrate": -1000},
        {"format": "opus", "opus_bitrate": 64_000},
        {"format": "mp3", "mp3_bitrate": 192, "sample_rate": 44_100},
        {"reference_id": ""},
    ],
)
def test_the_ends_of_the_ranges_fit(client, fields):
    """The only error left is that the tone backend does not sample."""
    answer = client.post(TTS, json={"text": "hello", **fields})
    assert answer.status_code == 200 or "no sampling" in refusal(answer, 400)


def test_unknown_voices_paths_methods_and_kinds_of_body(client):
    assert "nobody" in refusal(client.post(TTS, json={"text": "hi", "reference_id": "nobody"}), 404)
    refusal(client.get("/compat/fishlike/nowhere"), 404)
    assert "POST" in refusal(client.get(f"/compat/fishlike{TTS}"), 405)
    assert "multipart/form-data" in refusal(
        client.post(TTS, content=b"hi", headers={"content-type": "text/plain"}), 415
    )
    assert "?raw=" in refusal(client.post(f"{TTS}?raw=perhaps", json={"text": "hi"}), 400)
    refusal(client.post(TTS, json={"text": "x" * 300_000}), 413)


def test_errors_are_json_whatever_the_answer_should_be(client):
    answer = client.post(f"{TTS}?format=msgpack", json={}, headers={"accept": "application/msgpack"})
    assert answer.headers["content-type"] == "application/json"
    refusal(answer, 400)


@pytest.mark.parametrize("key", [None, "Bearer wrong", "Basic YTpi", "Bearer"])
@pytest.mark.parametrize(
    "path", [TTS, "/v1/references/list", "/get_task_status/x", "/stop_generation", "/compat/fishlike/v1/health"]
)
def test_every_route_asks_for_the_key(client, path, key):
    method = "GET" if "list" in path or "status" in path or "health" in path else "POST"
    request = client.build_request(method, path, json={"text": "hi"} if method == "POST" else None)
    del request.headers["authorization"]
    if key is not None:
        request.headers["authorization"] = key
    answer = client.send(request)
    refusal(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({}, 400, "Reference ID cannot be empty"),
        ({"id": " ", "text": "t"}, 400, "Reference ID cannot be empty"),
        ({"id": "a", "text": ""}, 400, "Reference text cannot be empty"),
        ({"id": "a", "text": "t"}, 400, "Audio file is empty or could not be read"),
        ({"id": "a", "text": "t", "audio": "QUJD"}, 400, "not audio"),
        ({"id": "../a", "text": "t", "audio": "QUJD"}, 400, "invalid characters"),
        ({"id": "ä", "text": "t", "audio": "QUJD"}, 400, "invalid characters"),
        ({"id": "x" * 256, "text": "t", "audio": "QUJD"}, 400, "invalid characters or is too long"),
        ({"id": "nul", "text": "t", "audio": "QUJD"}, 400, "voice id"),
        ({"id": ["a"], "text": "t"}, 400, "id:"),
    ],
)
def test_references_that_cannot_be_kept(client, fields, status, words):
    answer = client.post("/v1/references/add", json=fields)
    assert words in refusal(answer, status)
    if "id:" not in words:
        assert answer.json()["success"] is False
        assert answer.json()["reference_id"] == fields.get("id", "")


@pytest.mark.parametrize(
    ("old", "new", "status", "words"),
    [
        ("", "b", 400, "Old reference ID cannot be empty"),
        ("a", "", 400, "New reference ID cannot be empty"),
        ("a", "a", 400, "must be different"),
        ("a", "../b", 400, "New reference ID contains invalid characters or is too long"),
        ("nobody", "b", 404, "Reference ID 'nobody' not found"),
    ],
)
def test_references_that_cannot_be_renamed(client, old, new, status, words):
    answer = client.post("/v1/references/update", json={"old_reference_id": old, "new_reference_id": new})
    assert words in refusal(answer, status)
    assert (answer.json()["old_reference_id"], answer.json()["success"]) == (old, False)


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ({"reference_id": " "}, 400), ({"reference_id": "nobody"}, 404), ({"reference_id": "../../x"}, 404)],
)
def test_references_that_cannot_be_removed(client, body, status):
    refusal(client.request("DELETE", "/v1/references/delete", json=body), status)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"text": "hi"}, "step_id"),
        ({"step_id": "a/b", "text": "hi"}, "step_id"),
        ({"step_id": "", "text": "hi"}, "step_id"),
        ({"step_id": "a", "text": ""}, "no text"),
        ({"step_id": "a", "text": "x" * 51}, "Text is too long"),
        ({"step_id": "a", "text": "hi", "format": "midi"}, "format"),
        ({"step_id": "a", "text": "hi", "references": [{"audio": "QUJD" * 100, "text": "x"}]}, "not audio"),
    ],
)
def test_tasks_that_cannot_be_accepted(client, fields, words):
    assert words in refusal(client.post("/generate_audio_enhanced_async", json=fields), 400)
    assert client.get("/get_task_status/a").status_code == 404


def test_tasks_of_another_kind_are_out_of_reach(client, served):
    client.post("/v1/tasks/speech", json={"id": "plain", "text": "hello"})
    for method, path in (("GET", "/get_task_status/plain"), ("POST", "/stop_async_task/plain")):
        refusal(client.request(method, path), 404)


ODD = [
    *(None, True, 0, -1, 2**63, 1.5, -1e308, "", "x", "\ud7ff\x00", "9" * 400, [], [None], [[]], {}, {"": {}}, b"\x00"),
    [{"audio": 1, "text": 2}],
    {"audio": b"RIFF", "text": None},
]
ROUTES = {
    "/v1/tts": [
        "text",
        "references",
        "reference_id",
        "seed",
        "format",
        "chunk_length",
        "prosody",
        "streaming",
        "top_p",
    ],
    "/v1/vqgan/encode": ["audios"],
    "/v1/vqgan/decode": ["tokens"],
    "/v1/references/add": ["id", "audio", "text"],
    "/v1/references/update": ["old_reference_id", "new_reference_id"],
    "/generate_audio_enhanced_async": ["step_id", "text", "references", "format"],
    "/model": ["title", "voices", "texts", "tags"],
}


@pytest.mark.parametrize("path", ROUTES)
def test_odd_bodies_are_no_fault_of_the_server(client, path):
    draw = random.Random(path)
    names = ROUTES[path]
    bodies = [{"text": "hi", name: value} for name in names for value in ODD]
    bodies += [{name: draw.choice(ODD) for name in names} for _ in range(60)]
    bodies += [[], "text", 7, None, {"\x00": 1}, {1: 2}]
    for body in bodies:
        answer = client.post(
            path, content=msgspec.msgpack.encode(body), headers={"content-type": "application/msgpack"}
        )
        assert answer.status_code < 500, (body, answer.text)
    for content_type in ("application/json", "application/msgpack", "multipart/form-data; boundary=x", "a/b", ""):
        for body in (b"", b"\x00", b"{", b"[" * 5000, b"--x\r\n", b"\x81\xa4text\xc1", json.dumps(["x"]).encode()):
            answer = client.post(path, content=body, headers={"content-type": content_type})
            assert answer.status_code < 500, (content_type, body, answer.text)


@pytest.mark.parametrize("name", ["%00", "..", "%2e%2e%2f", "x" * 3000, "ü ä", "%ff", "a%20b"])
def test_odd_names_in_paths(client, name):
    for method, path in (
        ("GET", "/get_task_status/"),
        ("GET", "/download_result/"),
        ("POST", "/stop_async_task/"),
        ("GET", "/model/"),
        ("DELETE", "/model/"),
        ("PATCH", "/model/"),
    ):
        assert 400 <= client.request(method, path + name).status_code < 500
