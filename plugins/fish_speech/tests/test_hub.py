"""The hub's own routes with a Fish Speech model: stored voices, references, codes, and reports."""

import base64
import io
import json

import pytest
import soundfile

from hub.testing.sounds import alike

SAID = {"seed": 3, "sampling": {"max_new_tokens": 40}}


@pytest.fixture
def speak(fish_hub):
    """Samples of `text`, by POST /v1/speech."""

    def speak(text="Hello there.", **fields):
        answer = fish_hub.client.post("/v1/speech", json={"text": text, **SAID, **fields})
        assert answer.status_code == 200, answer.text
        return soundfile.read(io.BytesIO(answer.content), dtype="float32")[0]

    return speak


@pytest.fixture
def eve(fish_hub, recording):
    """A stored voice of two recordings."""
    files = [("audio", recording), ("audio", recording), ("text", (None, "A hum.")), ("text", (None, "Again."))]
    answer = fish_hub.client.post("/v1/voices", data={"id": "eve"}, files=files)
    assert answer.status_code == 201, answer.text
    yield "eve"
    fish_hub.client.delete("/v1/voices/eve")


def test_a_stored_voice_is_its_recordings(speak, eve, recording):
    audio = base64.b64encode(recording).decode()
    by_hand = [{"audio": audio, "text": "A hum."}, {"audio": audio, "text": "Again."}]
    stored = speak(voice=eve)
    assert alike(stored, speak(references=by_hand))
    assert alike(stored, speak(voice=eve))  # now from its prepared state alone
    assert not alike(stored, speak(references=by_hand[:1]))
    assert not alike(stored, speak())


def test_turns_of_a_model_without_dialogue_have_their_voices(fish_hub, eve):
    turns = [{"text": "Hello.", "speaker": "a", "voice": eve}, {"text": "Hi.", "speaker": "b", "voice": eve}]
    answer = fish_hub.client.post("/v1/speech", json={"turns": turns, **SAID})
    assert answer.status_code == 200, answer.text


def test_codes_by_the_hubs_routes(fish_hub, recording):
    encoded = fish_hub.client.post("/v1/codec/encode", json={"audio": base64.b64encode(recording).decode()}).json()
    answer = fish_hub.client.post("/v1/codec/decode", json={"tokens": encoded["tokens"]})
    assert answer.status_code == 200, answer.text
    samples, rate = soundfile.read(io.BytesIO(answer.content))
    assert len(samples) / rate == pytest.approx(0.5, abs=0.02)


def test_a_cut_is_reported_at_the_end(fish_hub):
    with fish_hub.client.stream("POST", "/v1/speech/events", json={"text": "Hello.", **SAID}) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    report = next(event["report"] for event in map(json.loads, lines) if "report" in event)
    assert report["segments"] == 1
    assert report["cut_segments"] == [0]
