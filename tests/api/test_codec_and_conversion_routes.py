"""/v1/codec/encode, /v1/codec/decode and /v1/conversion on a live hub: JSON, msgpack and forms."""

import base64
import io

import msgspec
import numpy as np
import pytest
import soundfile

from hub.settings import ModelSettings
from hub.testing import tone

SAID = "say this again"


@pytest.fixture(scope="module")
def able(served_once):
    """A hub with two models: the first can do neither, the second both."""
    models = {
        "plain": ModelSettings(backend="tone"),
        "able": ModelSettings(backend="tone", options={"codec": True, "conversion": True}),
    }
    running = served_once(models=models)
    running.wait_ready()
    return running


@pytest.fixture(scope="module")
def source(able):
    """A recording of SAID in the voice `low`."""
    return able.speak(SAID, voice="low", format={"container": "flac"}).content


def heard(content):
    samples, rate = soundfile.read(io.BytesIO(content), dtype="float32")
    return tone.decode(samples, rate), tone.pitch_of(samples, rate)


def b64(data):
    return base64.b64encode(data).decode()


def test_tokens_there_and_back_in_json(able, source):
    encoded = able.client.post("/v1/codec/encode", json={"audio": b64(source)}).json()
    assert (encoded["model"], encoded["codebooks"]) == ("able", 2)
    assert [len(row) for row in encoded["tokens"]] == [encoded["frames"]] * 2
    assert encoded["seconds"] == pytest.approx(encoded["frames"] / tone.SAMPLE_RATE, abs=1e-3)
    body = {"tokens": encoded["tokens"], "model": "able", "format": {"container": "flac", "sample_rate": 48000}}
    answer = able.client.post("/v1/codec/decode", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/flac")
    assert (answer.headers["x-model"], answer.headers["x-sample-rate"]) == ("able", "48000")
    assert heard(answer.content) == (SAID, 110)


def test_tokens_there_and_back_in_msgpack_and_by_a_form(able, source):
    packed = {"content-type": "application/msgpack", "accept": "application/msgpack"}
    body = msgspec.msgpack.encode({"audio": source, "model": "able"})
    encoded = msgspec.msgpack.decode(able.client.post("/v1/codec/encode", content=body, headers=packed).content)
    by_form = able.client.post("/v1/codec/encode", files={"audio": source}, data={"model": "able"})
    assert by_form.json() == encoded
    body = msgspec.msgpack.encode({"tokens": encoded["tokens"]})
    assert heard(able.client.post("/v1/codec/decode", content=body, headers=packed).content) == (SAID, 110)


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({}, 400, "invalid_request", "tokens"),
        ({"tokens": []}, 400, "invalid_request", "tokens"),
        ({"tokens": [[]]}, 400, "invalid_request", "tokens"),
        ({"tokens": [[1, 2], [3]]}, 400, "invalid_request", "differ in length"),
        ({"tokens": [[-1], [3]]}, 400, "invalid_request", "tokens"),
        ({"tokens": [[2**31], [3]]}, 400, "invalid_request", "tokens"),
        ({"tokens": [[1], [2], [3]]}, 400, "invalid_request", "2 codebooks"),
        ({"tokens": [[0] * 250_001]}, 413, "too_large", "250000"),
        ({"tokens": [[1], [2]], "format": {"container": "tape"}}, 400, "invalid_request", "tape"),
        ({"tokens": [[1], [2]], "model": "nobody"}, 404, "unknown_model", "nobody"),
        ({"tokens": [[1], [2]], "model": "plain"}, 400, "unsupported_capability", "has no codec"),
        ({"tokens": [[1], [2]], "loud": True}, 400, "invalid_request", "loud"),
    ],
    ids=str,
)
def test_invalid_tokens_are_refused(able, body, status, code, words):
    answer = able.client.post("/v1/codec/decode", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert words in answer.json()["message"]


def test_invalid_recordings_are_refused(able):
    for body in ({"audio": b64(b"no audio")}, {"audio": ""}):
        answer = able.client.post("/v1/codec/encode", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_audio")
    answer = able.client.post("/v1/codec/encode", files={"audio": b"x"}, data={"voice": "low"})
    assert answer.json()["message"] == "unknown field 'voice'; allowed here: audio, model"


@pytest.mark.parametrize("stream", [False, True])
def test_a_recording_is_said_again(able, source, stream):
    body = {"audio": b64(source), "voice": "high", "stream": stream, "format": {"container": "wav"}}
    answer = able.client.post("/v1/conversion", json=body)
    assert answer.status_code == 200, answer.text
    assert (answer.headers["x-model"], answer.headers["x-voice"]) == ("able", "high")
    assert ("content-length" in answer.headers) != stream
    samples = np.frombuffer(answer.content[44:], "<i2") / 32767
    assert (tone.decode(samples, 24_000), tone.pitch_of(samples, 24_000)) == (SAID, 220)


def test_a_recording_is_said_again_by_a_form(able, source):
    answer = able.client.post(
        "/v1/conversion",
        files=[("audio", source), ("references", source), ("references", source)],
        data={
            "reference_text": "said twice",
            "format": "flac",
            "speed": "2",
            "seed": "7",
            "options": '{"chunk_ms": 50}',
        },
    )
    assert answer.status_code == 200, answer.text
    said, pitch = heard(answer.content)
    assert (said, pitch in tone.CLONED_PITCHES) == (SAID, True)
    body = {
        "audio": source,
        "references": [{"audio": source, "text": "said twice"}, {"audio": source}],
        "format": {"container": "flac"},
        "speed": 2,
        "seed": 7,
        "options": {"chunk_ms": 50},
    }
    packed = {"content-type": "application/msgpack"}
    same = able.client.post("/v1/conversion", content=msgspec.msgpack.encode(body), headers=packed)
    assert same.content == answer.content


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"voice": "nobody"}, "unknown_voice", "nobody"),
        ({"model": "plain"}, "unsupported_capability", "has no conversion"),
        ({"options": '{"loud": 1}'}, "invalid_request", "loud"),
        ({"options": "loud"}, "invalid_request", "options"),
        ({"speed": "fast"}, "invalid_request", "speed"),
        ({"format": "tape"}, "invalid_request", "tape"),
        ({"reference_text": "said"}, "invalid_request", "reference_text"),
        ({"audio": "a text"}, "invalid_request", "must be a file"),
        ({"text": "said"}, "invalid_request", "unknown field 'text'"),
        ({"voice": ["low", "high"]}, "invalid_request", "more than once"),
    ],
    ids=str,
)
def test_invalid_conversions_are_refused(able, source, fields, code, words):
    answer = able.client.post("/v1/conversion", files={"audio": source}, data=fields)
    assert answer.json()["code"] == code
    assert words in answer.json()["message"]


def test_a_form_without_a_recording_is_refused(able):
    answer = able.client.post("/v1/conversion", files={"references": b"x"}, data={"voice": "low"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "audio" in answer.json()["message"]


def test_both_are_in_the_metrics_and_the_docs(able, source):
    able.client.post("/v1/conversion", files={"audio": source})
    assert 'model="able"' in able.client.get("/metrics").text
    paths = able.client.get("/openapi.json").json()["paths"]
    forms = {
        path: set(paths[path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"])
        for path in ("/v1/codec/encode", "/v1/conversion")
    }
    assert forms["/v1/codec/encode"] == {"audio", "model"}
    assert {"audio", "references", "reference_text", "voice", "format"} <= forms["/v1/conversion"]
