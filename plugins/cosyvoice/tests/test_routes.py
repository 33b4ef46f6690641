"""CosyVoice's own HTTP API on tiny models of all generations, over real sockets."""

import io
import socket
import threading
import wave
from itertools import combinations

import httptools
import numpy as np
import pytest

from plugins.cosyvoice.tests.support.requests import INSTRUCT, SFT, plain, recording, with_recording
from plugins.cosyvoice.tests.support.sounds import same_sound

TEXT = "你好。"
FILE = {"prompt_wav": ("prompt_wav", recording(), "application/octet-stream")}
RATES = {"v1": 22_050, "v2": 24_000, "v3": 24_000}
FORMS = {
    "sft": ({"spk_id": "spk_a"}, False),
    "zero_shot": ({"prompt_text": "大家好。"}, True),
    "cross_lingual": ({}, True),
    "instruct": ({"spk_id": "spk_a", "instruct_text": "Happy."}, False),
    "instruct2": ({"instruct_text": "Happy."}, True),
}
MODES = {
    "v1": ("sft", "zero_shot", "cross_lingual", "instruct"),
    "v2": ("sft", "zero_shot", "cross_lingual", "instruct2"),
    "v3": ("sft", "zero_shot", "cross_lingual", "instruct2"),
}


@pytest.fixture(scope="module")
def client(cosyvoice_hub):
    return cosyvoice_hub.client


def ask(client, mode, *, model="v2", method="POST", base="", query=None, **fields):
    own, recorded = FORMS[mode]
    return client.request(
        method,
        f"{base}/inference_{mode}",
        params={"model": model, **(query or {})},
        data={"tts_text": TEXT, **own, **fields},
        files=FILE if recorded else None,
    )


def wav_samples(body: bytes) -> np.ndarray:
    """The samples of a streamed WAV, whose header does not have the length."""
    assert body[:4] == b"RIFF"
    assert body[8:16] == b"WAVEfmt "
    return np.frombuffer(body[44:], "<i2")


@pytest.mark.parametrize(("model", "mode"), [(model, mode) for model, modes in MODES.items() for mode in modes])
def test_every_mode_of_every_generation(client, model, mode):
    answer = ask(client, mode, model=model)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["x-sample-rate"] == str(RATES[model])
    assert answer.headers["x-model"] == model
    assert int.from_bytes(answer.content[24:28], "little") == RATES[model]
    assert np.abs(wav_samples(answer.content)).max() > 0


def test_the_answer_comes_in_parts_at_both_paths(client):
    failures = client.get("/v1/backends").json()["failures"]
    assert [failure for failure in failures if failure["plugin"] == "cosyvoice"] == []
    assert client.get("/v1/backends").json()["notes"] == []
    for base in ("", "/compat/cosyvoice"):
        with client.stream("POST", f"{base}/inference_sft", data={"tts_text": TEXT, "spk_id": "spk_a"}) as answer:
            assert answer.status_code == 200
            assert "content-length" not in answer.headers
            assert next(answer.iter_bytes())[:4] == b"RIFF"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_the_container_of_the_answer(client, method):
    kinds = {"wav": "audio/wav", "pcm": "audio/pcm;rate=24000;encoding=s16le;channels=1"}
    for container, kind in kinds.items():
        answer = ask(client, "sft", method=method, query={"container": container})
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    answer = ask(client, "sft", method=method)
    assert answer.headers["content-type"] == kinds["pcm" if method == "GET" else "wav"]
    if method == "GET":  # without a body, as a browser asks
        answer = client.get("/inference_sft", params={"tts_text": TEXT, "spk_id": "spk_a"})
        assert (answer.status_code, answer.headers["content-type"]) == (200, kinds["wav"])


def test_a_seed_is_kept_whatever_speaks_beside_it(client):
    alone = ask(client, "zero_shot", query={"seed": "7", "container": "pcm"}).content
    assert alone
    found = {}

    def speak(seed):
        found[seed] = ask(client, "zero_shot", query={"seed": str(seed), "container": "pcm"}).content

    threads = [threading.Thread(target=speak, args=(seed,)) for seed in (7, 8, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same_sound(found[7], alone)
    assert not any(same_sound(*two) for two in combinations(found.values(), 2))


def test_speed_and_whole_sentences_can_be_asked_for(client):
    slow, fast = (
        len(ask(client, "sft", query={"seed": "3", "container": "pcm", "stream": "false", "speed": speed}).content)
        for speed in ("1", "2")
    )
    assert fast == pytest.approx(slow / 2, rel=0.1)


# -- the official client -----------------------------------------------------------------------------------------------


class Answer:
    """A response, read from the socket."""

    def __init__(self):
        self.body, self.headers, self.complete = b"", {}, False

    def on_header(self, name, value):
        self.headers[name.decode().lower()] = value.decode()

    def on_body(self, part):
        self.body += part

    def on_message_complete(self):
        self.complete = True


def exchange(port: int, sent: bytes) -> Answer:
    """Send bytes as they are, and read the answer to its end."""
    answer = Answer()
    parser = httptools.HttpResponseParser(answer)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(sent)
        while not answer.complete:
            received = connection.recv(65_536)
            assert received, "the connection broke off"
            parser.feed_data(received)
    answer.status = parser.get_status_code()
    return answer


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/inference_sft", lambda path: plain(path, SFT)),
        ("/inference_instruct", lambda path: plain(path, INSTRUCT)),
        (
            "/inference_zero_shot",
            lambda path: with_recording(path, {"tts_text": TEXT, "prompt_text": "大家好。"}, recording()),
        ),
        ("/inference_cross_lingual", lambda path: with_recording(path, {"tts_text": TEXT}, recording())),
    ],
)
def test_the_official_client_gets_bare_samples(cosyvoice_hub, path, sent):
    answer = exchange(cosyvoice_hub.port, sent(f"{path}?model=v1"))
    assert answer.status == 200, answer.body
    assert answer.headers["x-sample-rate"] == "22050"
    assert answer.headers["content-type"].startswith("audio/pcm")
    assert len(answer.body) % 2 == 0
    assert np.abs(np.frombuffer(answer.body, np.int16)).max() > 0  # what the client does
    assert answer.body[:4] != b"RIFF"


# -- errors before the first byte --------------------------------------------------------------------------------------


def test_an_unknown_speaker_is_a_404_that_lists_the_known(client):
    answer = ask(client, "sft", model="v1", spk_id="nobody")
    assert answer.status_code == 404
    assert answer.json()["code"] == "unknown_voice"
    assert "spk_a" in answer.json()["detail"]
    assert "spk_b" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("model", "mode", "fields"),
    [
        ("v2", "instruct", {}),
        ("v3", "instruct", {}),
        ("v2", "instruct", {"spk_id": "nobody"}),
        ("v1", "instruct2", {}),
    ],
)
def test_a_mode_that_the_model_does_not_have_is_a_400(client, model, mode, fields):
    answer = ask(client, mode, model=model, **fields)
    assert answer.status_code == 400
    assert answer.json()["code"] == "unsupported_capability"
    assert mode in answer.json()["detail"]


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (recording(rate=8000), "16000"),
        (recording(seconds=31), "30 s"),
        (recording(seconds=0.02), "at least"),
        (b"no audio at all", "not audio"),
    ],
)
def test_a_recording_that_cannot_be_used_is_a_400(client, audio, words):
    answer = client.post("/inference_cross_lingual", data={"tts_text": TEXT}, files={"prompt_wav": ("a", audio)})
    assert answer.status_code == 400
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("mode", list(FORMS))
def test_a_missing_field_is_a_422_as_in_fastapi(client, mode):
    own, recorded = FORMS[mode]
    answer = client.post(f"/inference_{mode}", data={})
    assert answer.status_code == 422
    missing = {one["loc"][1]: one for one in answer.json()["detail"]}
    assert set(missing) == {"tts_text", *own, *(["prompt_wav"] if recorded else [])}
    assert missing["tts_text"] == {
        "type": "missing",
        "loc": ["body", "tts_text"],
        "msg": "Field required",
        "input": None,
    }


def test_fields_that_do_not_fit(client):
    assert ask(client, "sft", query={"container": "mp3"}).status_code == 422
    assert ask(client, "sft", query={"speed": "fast"}).status_code == 422
    assert client.post("/inference_cross_lingual", data={"tts_text": TEXT, "prompt_wav": "x"}).status_code == 422
    assert ask(client, "sft", model="nothing").status_code == 404
    assert ask(client, "sft", tts_text="").status_code in (400, 422)
    assert client.post("/inference_sft", content=b"{", headers={"content-type": "text/plain"}).status_code == 415


def test_pages_of_other_origins_may_call(client):
    page = {"origin": "https://example.org"}
    answer = client.options(
        "/inference_sft",
        headers={**page, "access-control-request-method": "POST", "access-control-request-headers": "x-mine"},
    )
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-headers"] == "x-mine"
    for path in ("/inference_sft", "/compat/cosyvoice/inference_sft"):
        answer = client.post(path, data={"tts_text": TEXT}, headers=page)
        assert answer.status_code == 422
        assert answer.headers["access-control-allow-origin"] == "*"
    answer = client.post("/inference_sft", data={"tts_text": TEXT, "spk_id": "spk_a"}, headers=page)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "X-Sample-Rate" in answer.headers["access-control-expose-headers"]


def test_the_official_container_is_read_by_wave_once_it_is_saved(client):
    """A streamed WAV has an open end, which Python's wave reads as far as there is anything."""
    answer = ask(client, "sft")
    with wave.open(io.BytesIO(answer.content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24_000)
