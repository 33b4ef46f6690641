"""The API that users of Higgs Audio servers know, over a real socket, with a tiny checkpoint."""

import base64
import io
import json

import httpx
import numpy as np
import pytest
import soundfile

from hub.testing.fixtures import hub_process
from hub.testing.sounds import alike
from plugins.higgs_audio.tests.support.served import recording

ASKED = {"text": "Hello, this is a test.", "ref_audio": "belinda", "seed": 7, "max_new_tokens": 30}


def generated(hub, **fields):
    answer = hub.client.post("/generate", json=ASKED | fields)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["success"] is True
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(body["audio_base64"])), dtype="int16")
    assert body["sampling_rate"] == rate == 24_000
    assert body["duration"] == pytest.approx(len(sound) / rate, abs=1e-3)
    assert body["generated_text"] == (ASKED | fields)["text"]
    return sound


def events(text):
    found = []
    for block in text.split("\n\n"):
        assert not block or block.startswith(("data: ", ": ping"))
        found += [block.removeprefix("data: ")] if block.startswith("data: ") else []
    return found


def played(found):
    parts = [base64.b64decode(event.removeprefix("AUDIO:")) for event in found if event.startswith("AUDIO:")]
    return np.frombuffer(b"".join(parts), "<i2")


# -- lists --------------------------------------------------------------------------------------


def test_info_names_the_model(hub):
    body = hub.client.get("/info").json()
    assert body["is_loaded"] is True
    assert body["device"] == "cpu"
    assert body["max_new_tokens"] == 40
    assert "语音克隆" in body["supported_features"]


def test_voices_and_scenes_are_read_again_each_time(hub, examples):
    folder = examples / "voice_prompts"
    expected = [{"name": name, "file": f"voice_prompts/{name}.wav", "type": "wav"} for name in ("belinda", "broom")]
    assert hub.client.get("/voices").json() == {"voices": expected, "count": 2}
    (folder / "later.wav").write_bytes(recording())
    try:
        assert hub.client.get("/voices").json()["count"] == 3
        assert len(generated(hub, ref_audio="later")) > 0  # without a transcript: in the system message
    finally:
        (folder / "later.wav").unlink()
    scene = {"name": "quiet_indoor", "content": "Audio is recorded from a quiet room.", "file": "quiet_indoor.txt"}
    assert hub.client.get("/scenes").json() == {"scenes": [scene], "count": 1}
    assert hub.client.get("/compat/higgs_audio/scenes").json()["count"] == 1
    (folder / "odd.wav").write_bytes(recording())
    (folder / "odd.txt").write_bytes(b"\xff\xfe no UTF-8")
    try:
        refused = hub.client.post("/generate", json=ASKED | {"ref_audio": "odd"})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    finally:
        (folder / "odd.wav").unlink()
        (folder / "odd.txt").unlink()


# -- speaking -----------------------------------------------------------------------------------


def test_the_same_request_gives_the_same_audio_and_each_field_has_its_effect(hub):
    sound = generated(hub)
    assert len(sound) > 10_000
    assert alike(generated(hub), sound)

    def differs(**fields):
        return not alike(generated(hub, **fields), sound)

    assert differs(ref_audio="broom")
    assert differs(ref_audio=None)
    assert differs(scene_prompt=None)
    assert differs(seed=8)
    assert differs(ref_audio="profile:male_en")
    assert len(generated(hub, max_new_tokens=15)) < len(sound)


def test_two_voices_speak_a_dialogue(hub):
    text = "[SPEAKER0] Hello there.\n[SPEAKER1] And hello to you."
    both = generated(hub, text=text, ref_audio="belinda,broom")
    other = generated(hub, text=text, ref_audio="broom,belinda")
    assert not alike(both, other)
    alone = generated(hub, text="[SPEAKER0] Hello there.", ref_audio="belinda,broom")
    assert alike(alone, generated(hub, text="[SPEAKER0] Hello there."))  # the other recording is not mixed in
    described = generated(hub, text=text, ref_audio="profile:male_en, profile:female_en_story")
    assert len(described) > 0
    assert len(generated(hub, text=text, ref_audio=None)) > 0


def test_long_texts_are_spoken_in_chunks(hub):
    text = "[SPEAKER0] One two three.\n[SPEAKER1] Four five six.\n[SPEAKER0] Seven eight."
    whole = generated(hub, text=text, ref_audio="belinda,broom", max_new_tokens=14)
    chunks = generated(
        hub, text=text, ref_audio="belinda,broom", chunk_method="speaker", max_new_tokens=14,
        generation_chunk_buffer_size=1,
    )  # fmt: skip
    assert len(chunks) > len(whole)
    words = generated(hub, text="word " * 12, chunk_method="word", chunk_max_word_num=4, max_new_tokens=14)
    assert len(words) > 2 * 14 * 960 * 0.5


def test_the_stream_can_be_played_and_is_the_whole(hub):
    answer = hub.client.post("/generate-stream", json=ASKED)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-cache"
    found = events(answer.text)
    assert json.loads(found[0].removeprefix("AUDIO_FORMAT:")) == {
        "encoding": "s16le", "sampling_rate": 24_000, "channels": 1,
    }  # fmt: skip
    assert ASKED["text"] in found
    assert found[-1] == "[DONE]"
    assert found.count("[DONE]") == 1
    sound = generated(hub)
    assert alike(played(found), sound)


def test_texts_of_a_stream_are_the_turns_and_never_another_event(hub):
    text = "[SPEAKER0] Hello\nthere.\n[SPEAKER1] [DONE] now."
    asked = ASKED | {"text": text, "ref_audio": "profile:male_en,profile:female_en_story", "chunk_method": "sentence"}
    found = events(hub.client.post("/generate-stream", json=asked).text)
    words = [event for event in found if not event.startswith(("AUDIO", "[DONE]"))]
    assert " ".join(" ".join(words).split()) == "Hello there. [DONE] now."
    assert found.count("[DONE]") == 1
    assert found[-1] == "[DONE]"
    invisible = ASKED | {"text": "\u200b\u200b\u200bAUDIO: one\ndata: two"}
    assert " AUDIO: one data: two" in events(hub.client.post("/generate-stream", json=invisible).text)


def test_a_request_without_a_number_of_tokens_takes_the_servers(hub):
    asked = {key: value for key, value in ASKED.items() if key != "max_new_tokens"}
    body = hub.client.post("/generate", json=asked | {"text": "word " * 60}).json()
    assert 0 < body["duration"] <= 40 * 0.04


def test_a_caller_who_leaves_stops_the_model(hub):
    asked = ASKED | {"text": "word " * 200, "chunk_method": "word", "chunk_max_word_num": 2}
    with hub.client.stream("POST", "/generate-stream", json=asked) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: AUDIO:"):
                break
    while hub.reports.ended.get(timeout=30).outcome != "cancelled":
        pass


def test_an_uploaded_recording_is_heard(hub):
    fields = {"text": ASKED["text"], "seed": "7", "max_new_tokens": "30", "ref_text": "I am belinda."}
    files = {"ref_audio_file": ("mine.wav", recording(200), "audio/wav")}
    answer = hub.client.post("/generate-upload", data=fields, files=files)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["content-disposition"] == "attachment; filename=generated_audio.wav"
    sound, _ = soundfile.read(io.BytesIO(answer.content), dtype="int16")
    assert alike(sound, generated(hub, scene_prompt=None))
    del fields["ref_text"]
    unknown_words = hub.client.post("/generate-upload", data=fields, files=files)
    assert unknown_words.status_code == 200
    assert unknown_words.content != answer.content
    assert hub.client.post("/generate-upload", data=fields).status_code == 200


# -- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"ref_audio": "nobody"}, 404, "unknown_voice"),
        ({"ref_audio": "../../etc/passwd"}, 404, "unknown_voice"),
        ({"ref_audio": "n" * 253}, 404, "unknown_voice"),
        ({"text": "[SPEAKER2] Hi.", "ref_audio": "belinda,broom"}, 400, "invalid_request"),
        ({"text": f"[SPEAKER{'9' * 5000}] Hi.", "ref_audio": "belinda,broom"}, 400, "invalid_request"),
        ({"ref_audio": "belinda,nobody"}, 404, "unknown_voice"),
        ({"ref_audio": "profile:nobody"}, 404, "unknown_voice"),
        ({"scene_prompt": "nowhere"}, 404, "unknown_scene"),
        ({"text": "   "}, 400, "empty_text"),
        ({"text": "[SPEAKER3] Hi.", "ref_audio": "profile:male_en,profile:female_en_story"}, 400, "invalid_request"),
    ],
)
def test_failures_have_success_false_and_a_fitting_status(hub, fields, status, code):
    answer = hub.client.post("/generate", json=ASKED | fields)
    body = answer.json()
    assert (answer.status_code, body["success"], body["code"]) == (status, False, code)
    assert body["audio_base64"] is None
    assert body["message"]
    streamed = hub.client.post("/generate-stream", json=ASKED | fields)
    assert (streamed.status_code, streamed.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 3},
        {"top_k": 0},
        {"top_p": "high"},
        {"max_new_tokens": 5000},
        {"text": None},
        {"chunk_method": "x"},
    ],
)
def test_fields_that_do_not_fit_are_fastapis_422(hub, fields):
    for path in ("/generate", "/generate-stream"):
        answer = hub.client.post(path, json=ASKED | fields)
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"][0]["loc"] == ["body", *fields]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b""])
def test_unreadable_bodies_are_the_callers_errors(hub, body):
    for path in ("/generate", "/generate-stream", "/generate-upload"):
        answer = hub.client.post(path, content=body, headers={"content-type": "application/json"})
        assert 400 <= answer.status_code < 500


# -- the command ---------------------------------------------------------------------------------

AS_200 = """
[compat.higgs_audio.options]
failures_as_200 = true
"""


def test_the_documented_flags_serve_the_api_alone(checkpoint, examples):
    command = [
        "higgs",
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--model-path",
        str(checkpoint),
        "--device",
        "cpu",
    ]
    command += ["--max-new-tokens", "20", "--voice-prompts-dir", str(examples / "voice_prompts")]
    command += ["--scene-prompts-dir", str(examples / "scene_prompts")]
    with hub_process(AS_200, ready=False, command=command, env={"OMP_NUM_THREADS": "1"}) as server:
        body = server.client.post("/generate", json=ASKED).json()
        assert body["success"] is True, server.logged
        failed = server.client.post("/generate", json=ASKED | {"ref_audio": "nobody"})
        assert (failed.status_code, failed.json()["success"]) == (200, False)
        assert server.client.get("/voices").json()["count"] == 2
        assert server.client.get("/v1/speech").status_code == 404
        listed = server.client.get("/v1/models").json()["data"]
        assert [(model["id"], model["backend"]) for model in listed] == [(checkpoint.name, "higgs_audio")]
        server.process.terminate()
        assert server.process.wait(30) in (0, -15)
        with pytest.raises(httpx.TransportError):
            server.client.get("/info")
