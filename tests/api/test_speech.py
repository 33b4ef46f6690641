import io
import logging
import re
import socket
import threading
import wave

import httpx
import msgspec
import numpy as np
import pytest
import soundfile

from hub.settings import LimitSettings, ModelSettings, WorkerSettings
from hub.testing import tone

ONE_AT_A_TIME = {"tone": ModelSettings(backend="tone", options={"concurrency": 1})}
ENDLESS = {"seconds": 3600.0, "paced": True, "lead_ms": 0}


def spoken(body):
    """The text that a body of audio plays."""
    samples, rate = soundfile.read(io.BytesIO(body), dtype="float32")
    return tone.decode(samples, rate)


def test_a_complete_response_has_its_length_and_an_exact_header(live):
    answer = live.speak("Hello, world.")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/wav"
    assert int(answer.headers["content-length"]) == len(answer.content)
    with wave.open(io.BytesIO(answer.content)) as file:
        assert file.getnframes() * 2 + 44 == len(answer.content)
    assert spoken(answer.content) == "Hello, world."


def test_the_headers_have_rate_model_voice_and_request(live):
    answer = live.speak("a text", voice="low", format={"sample_rate": 16000})
    assert answer.headers["x-sample-rate"] == "16000"
    assert answer.headers["x-model"] == "tone"
    assert answer.headers["x-voice"] == "low"
    assert re.fullmatch(r"req_[0-9a-f]{24}", answer.headers["x-request-id"])


@pytest.mark.parametrize("given", ["my-request.7", "a" * 128])
def test_a_well_formed_request_id_is_kept(live, given):
    answer = live.client.post("/v1/speech", json={"text": "a text"}, headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["a b", "a" * 129, "semi;colon"])
def test_another_request_id_is_replaced(live, given):
    answer = live.client.post("/v1/speech", json={"text": "a text"}, headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"].startswith("req_")


def test_a_stream_arrives_while_it_is_generated(live):
    body = {"text": "endless", "stream": True, "options": ENDLESS, "format": {"container": "pcm"}}
    with live.client.stream("POST", "/v1/speech", json=body) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in answer.headers
        assert len(next(answer.iter_raw(4800))) == 4800  # of a response that takes an hour


@pytest.mark.parametrize("container", ["wav", "pcm", "mp3", "opus", "aac", "flac"])
@pytest.mark.parametrize("stream", [False, True])
def test_every_container_lasts_as_long_as_the_speech(live, container, stream):
    answer = live.speak("twenty-five letters, so a second", stream=stream, format={"container": container})
    assert answer.status_code == 200
    seconds = 34 * tone.SYMBOL / tone.SAMPLE_RATE
    if container == "pcm":
        assert len(answer.content) == round(seconds * tone.SAMPLE_RATE) * 2
        return
    samples, rate = decode(answer.content)
    assert len(samples) / rate == pytest.approx(seconds, abs=0.1)


def decode(body):
    import av

    with av.open(io.BytesIO(body)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        return np.concatenate(frames, axis=1)[0], container.streams.audio[0].rate


def test_msgpack_in_is_json_in(live):
    body = msgspec.msgpack.encode({"text": "packed", "seed": 3})
    for content_type in ("application/msgpack", "application/x-msgpack", "application/vnd.msgpack"):
        answer = live.client.post("/v1/speech", content=body, headers={"Content-Type": content_type})
        assert answer.content == live.speak("packed", seed=3).content


@pytest.mark.parametrize("container", ["wav", "mp3"])
def test_a_caller_that_leaves_a_stream_frees_the_model(served, raw, container):
    live = served(models=ONE_AT_A_TIME)
    body = {"text": "endless", "stream": True, "options": ENDLESS, "format": {"container": container}}
    connection, answer = raw(live, "/v1/speech", body)
    assert answer.readline().startswith(b"HTTP/1.1 200")
    answer.close()
    connection.close()
    assert live.reports.ended.get(timeout=30).outcome == "cancelled"
    assert live.speak("next").status_code == 200  # the only place is free again


def test_a_caller_that_reads_nothing_is_cut_off(served, raw, caplog):
    live = served(worker=WorkerSettings(stall_timeout=0.3, buffer_seconds=1.0), models=ONE_AT_A_TIME)
    caplog.set_level(logging.INFO, "hub.api")
    cut = threading.Event()

    def watch(record):
        if "stall_timeout" in record.getMessage():
            cut.set()
        return True

    caplog.handler.addFilter(watch)
    raw(live, "/v1/speech", {"text": "endless", "stream": True, "options": {"seconds": 3600.0}})
    assert live.reports.ended.get(timeout=30).outcome == "cancelled"
    assert cut.wait(30)
    assert live.speak("next").status_code == 200


def test_a_caller_that_leaves_before_the_first_audio_frees_the_model(served, raw):
    live = served(models=ONE_AT_A_TIME)
    live.speak("the model is up")
    live.reports.ended.get(timeout=30)
    slow = {"text": "slow", "options": {"step_ms": 3_600_000}}
    connection, answer = raw(live, "/v1/speech", slow)
    queued, other = raw(live, "/v1/speech", {"text": "queued"})
    while (model := live.client.get("/v1/health").json()["models"][0])["waiting"] < 1:
        assert model["running"] <= 1
    for file in (other, queued):
        file.close()
    assert live.reports.ended.get(timeout=30).outcome == "cancelled"
    assert live.client.get("/v1/health").json()["models"][0]["waiting"] == 0
    for file in (answer, connection):
        file.close()
    assert live.reports.ended.get(timeout=30).outcome == "cancelled"


def test_a_caller_that_leaves_a_complete_response_frees_the_model(served, raw):
    live = served(models=ONE_AT_A_TIME)
    connection, answer = raw(live, "/v1/speech", {"text": "endless", "options": ENDLESS})
    while not live.client.get("/v1/health").json()["models"][0]["running"]:
        pass
    answer.close()
    connection.close()
    assert live.reports.ended.get(timeout=30).outcome == "cancelled"
    assert live.speak("next").status_code == 200


@pytest.mark.parametrize(
    ("options", "code"), [({"fail_at": 3}, "backend_failed"), ({"crash_at": 3}, "backend_crashed")]
)
def test_a_fault_in_a_stream_cuts_the_connection(served, caplog, options, code):
    live = served()
    text = "a text that is long enough for several chunks"
    caplog.clear()
    with live.client.stream("POST", "/v1/speech", json={"text": text, "stream": True, "options": options}) as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
            answer.read()
    mine = [record for record in caplog.records if record.name in ("hub.api", "uvicorn.error")]
    assert [record.levelname for record in mine] == ["WARNING"]
    assert code in mine[0].getMessage()
    assert mine[0].exc_info is None


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"fail_at": 0}, 500, "backend_failed"),
        ({"crash_at": 0}, 503, "backend_crashed"),
        ({"empty": True}, 502, "empty_audio"),
        ({"silent": True}, 502, "empty_audio"),
        ({"nan": True}, 502, "empty_audio"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_fault_before_the_first_audio_has_its_status(served, options, status, code, stream):
    answer = served().speak("a text", options=options, stream=stream)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"


def test_a_full_queue_says_when_to_try_again(served):
    live = served(models={"tone": ModelSettings(backend="tone", queue=0, options={"concurrency": 1})})
    body = {"text": "endless", "stream": True, "options": ENDLESS}
    with live.client.stream("POST", "/v1/speech", json=body):
        answer = live.speak("one too many")
    assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
    assert int(answer.headers["retry-after"]) >= 1


REFUSED = [
    ({}, 400, "empty_text"),
    ({"text": ""}, 400, "empty_text"),
    ({"text": " \n\t"}, 400, "empty_text"),
    ({"text": "?!... --- ;"}, 400, "unspeakable_text"),
    ({"text": "🎉🎉🎉"}, 400, "unspeakable_text"),
    ({"text": "a" * 1_000_000}, 413, "too_large"),
    ({"text": "hello", "model": "nobody"}, 404, "unknown_model"),
    ({"text": "hello", "voice": "nobody"}, 404, "unknown_voice"),
    ({"text": "hello", "instruct": "whisper"}, 400, "unsupported_capability"),
    ({"turns": [{"text": "hello", "instruct": "angrily"}]}, 400, "unsupported_capability"),
    ({"turns": [{"text": "hello"}, {"text": ""}]}, 400, "empty_text"),
    ({"text": "wait [pause:soon]"}, 400, "invalid_request"),
    ({"text": "hello", "scene": "nowhere"}, 404, "unknown_scene"),
    ({"text": "hello", "speed": 9}, 400, "invalid_request"),
    ({"text": "hello", "speed": "1.5"}, 400, "invalid_request"),
    ({"text": 5}, 400, "invalid_request"),
    ({"text": "hello", "sped": 1.5}, 400, "invalid_request"),
    ({"text": "hello", "seed": 10**30}, 400, "invalid_request"),
    ({"text": "hello", "options": {"volume": 3}}, 400, "invalid_request"),
    ({"text": "hello", "options": {"chunk_ms": 10**30}}, 400, "invalid_request"),
    ({"text": "hello", "format": {"container": "midi"}}, 400, "invalid_request"),
    ({"text": "hello", "format": {"container": "mp3", "sample_rate": 12345}}, 400, "invalid_request"),
    ([], 400, "invalid_request"),
    ("hello", 400, "invalid_request"),
]


@pytest.mark.parametrize(
    ("body", "status", "code"), REFUSED, ids=[msgspec.json.encode(case[0])[:40].decode() for case in REFUSED]
)
def test_invalid_requests_are_refused(live, body, status, code):
    answer = live.client.post("/v1/speech", json=body)
    error = answer.json()
    assert (answer.status_code, error["code"]) == (status, code)
    assert set(error) == {"code", "message", "detail"}
    assert len(error["message"]) > 10
    assert len(answer.content) < 4000


MALFORMED = [
    b"",
    b"{",
    b"nonsense",
    b'{"text": "hello" and more',
    b'{"text": "hello", "speed": NaN}',
    b'{"text": "\xff\xfe"}',
    b'{"text": "\\ud800"}',
    b'{"text": "hello", "options": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    b'{"text": "hello", "options": {"a": ' + b"[" * 100_000,
    b'{"text": "hello", "options": {"chunk_ms": ' + b"9" * 10_000 + b"}}",
    b'{"text": "hello", "options": {"chunk_ms": 1e999}}',
    b"\xef\xbb\xbf{}",
]


@pytest.mark.parametrize("body", MALFORMED, ids=[repr(body[:40]) for body in MALFORMED])
@pytest.mark.parametrize(("path", "field"), [("/v1/speech", b'"text"'), ("/v1/audio/speech", b'"input"')])
def test_malformed_json(live, path, field, body):
    body = body.replace(b'"text"', field)
    answer = live.client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    error = answer.json()
    assert (error.get("error") or error)["code"] == "invalid_request"


@pytest.mark.parametrize(
    "body",
    [
        b"\x81",
        b"\xc1",
        b"\x81\xa4text\xa1\xff",
        b"\x81\xa4text\xa3\xed\xa0\x80",
        b"\x91" * 100_000,
        msgspec.msgpack.encode({1: 2}),
        msgspec.msgpack.encode({"text": "hello", "speed": float("nan")}),
        msgspec.msgpack.encode({"text": "hello", "options": {"chunk_ms": float("nan")}}),
        msgspec.msgpack.encode({"text": "hello", "options": {"chunk_ms": msgspec.msgpack.Ext(5, b"x")}}),
    ],
    ids=lambda body: repr(body[:30]),
)
def test_malformed_msgpack(live, body):
    answer = live.client.post("/v1/speech", content=body, headers={"Content-Type": "application/msgpack"})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")


def test_of_two_equal_keys_the_last_counts(live):
    answer = live.client.post(
        "/v1/speech", content=b'{"text": "first", "text": "last"}', headers={"Content-Type": "application/json"}
    )
    assert spoken(answer.content) == "last"


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "a"]
)
def test_another_content_type_is_415(live, content_type):
    answer = live.client.post("/v1/speech", content=b'{"text": "hello"}', headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "application/json" in answer.json()["message"]


@pytest.mark.parametrize(
    "content_type", ["", "application/json; charset=utf-8", "Application/JSON", "application/x+json"]
)
def test_json_under_other_names(live, content_type):
    answer = live.client.post("/v1/speech", content=b'{"text": "hello"}', headers={"Content-Type": content_type})
    assert answer.status_code == 200


def test_a_body_over_the_limit_is_413_however_it_is_sent(served):
    live = served(limits=LimitSettings(body_bytes=10_000))
    body = b'{"text": "' + b"a" * 20_000 + b'"}'
    sent = {"Content-Type": "application/json"}
    assert live.client.post("/v1/speech", content=body, headers=sent).status_code == 413
    chunked = live.client.post("/v1/speech", content=iter([body[:8_000], body[8_000:]]), headers=sent)
    assert (chunked.status_code, chunked.json()["code"]) == (413, "too_large")
    assert chunked.headers["connection"] == "close"


def test_a_content_length_that_is_too_large_is_not_an_error_of_the_hub(live, raw, caplog):
    connection, answer = raw(live, "/v1/speech", b'{"text":', "Content-Length: 100")
    connection.shutdown(socket.SHUT_WR)
    assert answer.read() == b""
    assert live.speak("a text").status_code == 200
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_content_length_that_is_too_small_is_400(live, raw):
    _, answer = raw(live, "/v1/speech", b'{"text": "hello"}', "Content-Length: 9")
    assert answer.readline().startswith(b"HTTP/1.1 400")


def test_other_methods_and_paths(live):
    assert live.client.get("/v1/speech").status_code == 405
    assert "POST" in live.client.get("/v1/speech").headers["allow"]
    assert live.client.head("/v1/speech").status_code == 405
    assert live.client.request("OPTIONS", "/v1/speech").status_code == 204
    assert live.client.request("BREW", "/v1/speech").status_code in (400, 405)
    assert live.client.post("/v1/speech/", json={"text": "hello"}).status_code == 200
    unknown = live.client.post("/v1/speach", json={"text": "hello"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
