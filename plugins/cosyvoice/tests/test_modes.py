"""Every mode of every generation over the hub's own routes: which one is chosen, what is refused, what is the same."""

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest
import soundfile
from websockets.sync.client import connect

from plugins.cosyvoice.tests.support import requests
from plugins.cosyvoice.tests.support.sounds import same_sound

MODELS = ("v1", "v2", "v3")
RATES = {"v1": 22_050, "v2": 24_000, "v3": 24_000}
TEXT = "Hello world."


@pytest.fixture(scope="module")
def hub(cosyvoice_hub):
    return cosyvoice_hub


@pytest.fixture(scope="module")
def recording():
    return base64.b64encode(requests.recording(1.1, 24_000)).decode()


@pytest.fixture
def heard(recording):
    return [{"audio": recording, "text": "A calm voice."}]


@pytest.fixture
def unheard(recording):
    return [{"audio": recording}]


def events(hub, model, **fields):
    """The server-sent events of a request: (its report, its samples)."""
    body = {"model": model, "text": TEXT, "seed": 1, "format": {"container": "pcm"}, **fields}
    answer = hub.client.post("/v1/speech/events", json=body)
    assert answer.status_code == 200, answer.text
    said = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert said[-1]["type"] == "done", said[-1]
    pcm = b"".join(base64.b64decode(event["audio"]) for event in said if event["type"] == "audio")
    return said[-1]["report"], np.frombuffer(pcm, "<i2")


def speak(hub, model, **fields):
    return hub.speak(fields.pop("text", TEXT), model=model, **{"seed": 1, **fields})


def samples(answer, rate):
    assert answer.status_code == 200, answer.text
    found, there = soundfile.read(io.BytesIO(answer.content), dtype="int16")
    assert there == rate
    return found


@pytest.mark.parametrize("model", MODELS)
def test_the_mode_follows_from_what_is_given(hub, model, heard, unheard):
    instructed = "instruct" if model == "v1" else "instruct2"
    assert events(hub, model)[0]["mode"] == "sft"
    assert events(hub, model, voice="spk_a")[0]["mode"] == "sft"
    assert events(hub, model, references=heard)[0]["mode"] == "zero_shot"
    assert events(hub, model, references=unheard)[0]["mode"] == "cross_lingual"
    foreign = [{**heard[0], "language": "zh"}]
    assert events(hub, model, references=foreign, language="en")[0]["mode"] == "cross_lingual"
    assert events(hub, model, references=heard, instruct="Speak calmly.")[0]["mode"] == instructed
    assert events(hub, model, references=heard, options={"mode": "cross_lingual"})[0]["mode"] == "cross_lingual"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("mode", ["sft", "zero_shot", "cross_lingual", "instruct", "instruct2"])
def test_a_forced_mode_speaks_or_is_refused_before_the_first_byte(hub, model, mode, heard):
    fields = {"voice": "spk_a"} if mode in ("sft", "instruct") else {"references": heard}
    if mode.startswith("instruct"):
        fields["instruct"] = "Speak calmly."
    answer = speak(hub, model, options={"mode": mode}, stream=True, **fields)
    if mode == ("instruct2" if model == "v1" else "instruct"):
        assert answer.status_code == 400
        assert answer.json()["code"] == "unsupported_capability"
    else:
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-sample-rate"] == str(RATES[model])


def test_what_a_mode_lacks_is_named(hub, heard, unheard):
    for fields, word in (
        ({"options": {"mode": "zero_shot"}, "references": unheard}, "transcript"),
        ({"options": {"mode": "zero_shot"}, "voice": "spk_a"}, "recording"),
        ({"options": {"mode": "instruct2"}, "references": heard}, "instruct"),
        ({"options": {"mode": "sft"}, "voice": "spk_a", "instruct": "Calmly."}, "instruct"),
        ({"options": {"streaming": "official"}, "stream": True, "speed": 1.5}, "speed"),
        ({"instruct": "Speak calmly. " * 2000, "references": heard}, "at most"),
        ({"text": "...", "options": {"text_frontend": False}}, "nothing"),
    ):
        answer = speak(hub, "v2", **fields)
        assert answer.status_code == 400, fields
        assert word in answer.json()["message"], answer.text
    assert speak(hub, "v2", voice="nobody").status_code == 404


@pytest.mark.parametrize("model", MODELS)
def test_requests_at_once_sound_as_each_alone(hub, model, heard):
    kinds = [
        {"text": "One two three four."},
        {"references": heard, "stream": True},
        {"instruct": "Speak calmly.", "references": heard},
        {"text": "你好世界。", "stream": True, "seed": 7},
    ]
    alone = [speak(hub, model, **kind).content for kind in kinds]
    with ThreadPoolExecutor(len(kinds)) as pool:
        together = list(pool.map(lambda kind: speak(hub, model, **kind).content, kinds))
    assert all(map(same_sound, together, alone))
    assert not any(same_sound(*two) for two in combinations(alone, 2))


def test_speed_and_schemes(hub, heard):
    plain = samples(speak(hub, "v2", references=heard), 24_000)
    fast = samples(speak(hub, "v2", references=heard, speed=2.0), 24_000)
    assert len(fast) == pytest.approx(len(plain) / 2, rel=0.05)
    streamed = speak(hub, "v2", references=heard, stream=True, format={"container": "pcm"}).content
    assert same_sound(events(hub, "v2", references=heard)[1], streamed)  # both are sent while they are made
    schemes = [
        speak(
            hub, "v2", references=heard, stream=True, options={"streaming": scheme}, format={"container": "pcm"}
        ).content
        for scheme in ("consistent", "official")
    ]
    assert same_sound(schemes[0], streamed)
    assert not same_sound(schemes[1], streamed)
    assert len(schemes[1]) == len(streamed)


def test_the_report_has_caps_and_doubts(hub, heard):
    report, _ = events(hub, "v2", sampling={"max_new_tokens": 8})
    assert (report["tokens"], report["capped"]) == (8, True)
    long = [{**heard[0], "text": "A calm voice that says a good deal more than what is to be said after it. " * 3}]
    assert "shorter" in events(hub, "v2", text="Hi.", references=long)[0]["notes"][0]


@pytest.mark.parametrize("model", MODELS)
def test_a_stored_voice_is_a_zero_shot_speaker(hub, model, recording, heard):
    voice = f"keeper-{model}"
    made = hub.client.post(
        "/v1/voices", json={"id": voice, "recordings": [{"audio": recording, "text": heard[0]["text"]}]}
    )
    assert made.status_code == 201, made.text
    first, again = (speak(hub, model, voice=voice) for _ in range(2))
    assert first.headers["x-voice"] == voice
    assert same_sound(first.content, again.content)
    assert same_sound(first.content, speak(hub, model, references=heard).content)
    body = {"model": model, "audio": recording, "seed": 3}
    said = [hub.client.post("/v1/conversion", json={**body, **by}) for by in ({"voice": voice}, {"references": heard})]
    assert same_sound(*(samples(answer, RATES[model]) for answer in said))


@pytest.mark.parametrize("model", MODELS)
def test_a_recording_is_said_again_by_another_voice(hub, model, recording, heard):
    body = {"model": model, "audio": recording, "references": heard, "seed": 3}
    plain = samples(hub.client.post("/v1/conversion", json=body), RATES[model])
    assert len(plain) / RATES[model] == pytest.approx(1.1, abs=0.1)  # the pace is the recording's
    fast = samples(hub.client.post("/v1/conversion", json={**body, "speed": 2.0}), RATES[model])
    assert len(fast) == pytest.approx(len(plain) / 2, rel=0.05)
    preset = samples(hub.client.post("/v1/conversion", json={**body, "references": [], "voice": "spk_a"}), RATES[model])
    assert not same_sound(preset, plain)


@pytest.mark.parametrize("model", ["v2", "v3"])
def test_text_may_arrive_in_pieces(hub, model, heard):
    def live(pieces):
        with connect(hub.url.replace("http", "ws") + "/v1/speech/live") as ws:
            configured = {"model": model, "references": heard, "seed": 5, "format": {"container": "pcm"}}
            ws.send(json.dumps({"type": "configure", **configured}))
            for piece in pieces:
                ws.send(json.dumps({"type": "text", "text": piece}))
            ws.send(json.dumps({"type": "done"}))
            audio = b""
            while True:
                got = ws.recv(timeout=60)
                if isinstance(got, bytes):
                    audio += got
                    continue
                event = json.loads(got)
                assert event["type"] != "fault", event
                if event["type"] == "done":
                    return audio, event["report"]

    by_word, report = live(["Hello ", "world, ", "how ", "are ", "you?"])
    by_letter, _ = live(list("Hello world, how are you?"))
    assert report["mode"] == "zero_shot"
    assert len(by_word) > 24_000 // 2
    assert same_sound(by_word, by_letter)  # ids are cut between words, however the text comes
