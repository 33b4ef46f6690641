"""/v1/voices against a real server: forms, JSON and msgpack, refusals, and audio."""

import base64
import io

import msgspec
import numpy as np
import pytest
import soundfile

from hub.settings import LimitSettings, ReferenceSettings
from hub.testing import tone


def wav(seconds=0.5, rate=16_000, channels=1, subtype="FLOAT", format="WAV", value=None):
    wave = 0.5 * np.sin(np.arange(int(seconds * rate)) / 5) if value is None else np.full(int(seconds * rate), value)
    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([wave] * channels, 1).astype(np.float32), rate, format=format, subtype=subtype)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def live(served_once, home):
    (home / "roots").mkdir()
    (home / "roots/a.wav").write_bytes(wav())
    running = served_once(
        data=str(home / "data"),
        limits=LimitSettings(reference_seconds=10, body_bytes=4 << 20),
        references=ReferenceSettings(roots=(str(home / "roots"),)),
    )
    running.wait_ready()
    return running


@pytest.fixture(autouse=True)
def clean(live):
    yield
    for voice in live.client.get("/v1/voices").json()["voices"]:
        if voice["kind"] == "stored":
            live.client.delete(f"/v1/voices/{voice['id']}")


def form(live, id, *audio, **fields):
    files = [("audio", ("take", data, "application/octet-stream")) for data in audio]
    return live.client.post("/v1/voices", data={"id": id, **fields}, files=files or [("nothing", b"")])


def test_a_form_with_several_recordings(live, home):
    answer = form(
        live,
        "声優 A",
        wav(),
        wav(1, 24_000, 2, "VORBIS", "OGG"),
        text=["one", "two"],
        tags=["calm, low", "x"],
        language="ja",
        name="A",
        consent="in writing",
    )
    assert answer.status_code == 201
    voice = answer.json()
    assert [(one["text"], one["seconds"], one["sample_rate"]) for one in voice["recordings"]] == [
        ("one", 0.5, 16_000),
        ("two", 1.0, 24_000),
    ]
    assert (voice["tags"], voice["languages"], voice["kind"]) == (["calm", "low", "x"], ["ja"], "stored")
    assert voice["models"] == {"tone": {"usable": True, "reason": ""}}
    assert (home / "data/voices/声優 A/01.wav").is_file()
    assert live.client.get("/v1/voices/声優 A").json() == voice
    kept = live.client.get("/v1/voices/声優 A/audio", params={"recording": 1})
    assert kept.headers["content-type"] == "audio/wav"
    assert soundfile.info(io.BytesIO(kept.content)).samplerate == 24_000


def test_json_and_msgpack(live):
    upload = {"id": "anna", "recordings": [{"audio": base64.b64encode(wav()).decode(), "text": "said"}]}
    assert live.client.post("/v1/voices", json=upload).status_code == 201
    packed = msgspec.msgpack.encode({"id": "ben", "tags": ["x"], "recordings": [{"audio": wav()}, {"path": "a.wav"}]})
    answer = live.client.post(
        "/v1/voices", content=packed, headers={"content-type": "application/msgpack", "accept": "application/msgpack"}
    )
    assert answer.status_code == 201
    assert len(msgspec.msgpack.decode(answer.content)["recordings"]) == 2


def test_a_voice_is_heard_as_itself_in_speech_and_preview(live):
    form(live, "anna", wav(), text="said")
    inline = live.speak("hello there", references=[{"audio": base64.b64encode(wav()).decode()}])
    spoken = live.speak("hello there", voice="anna")
    previewed = live.client.post("/v1/voices/anna/preview", json={"text": "hello there"})
    pitches = set()
    for answer in (inline, spoken, previewed):
        assert answer.status_code == 200
        samples, rate = soundfile.read(io.BytesIO(answer.content))
        assert tone.decode(samples, rate) == "hello there"
        pitches.add(tone.pitch_of(samples, rate))
    assert len(pitches) == 1
    assert pitches <= set(tone.CLONED_PITCHES)
    assert spoken.headers["x-voice"] == previewed.headers["x-voice"] == "anna"
    greeting, rate = soundfile.read(io.BytesIO(live.client.post("/v1/voices/low/preview", json={}).content))
    assert tone.pitch_of(greeting, rate) == tone.PITCHES["low"]
    assert "how I sound" in tone.decode(greeting, rate)
    assert live.client.post("/v1/voices/nobody/preview", json={}).status_code == 404
    mixture = live.client.post("/v1/voices/low+high/preview", json={})
    assert (mixture.status_code, mixture.json()["detail"]["capability"]) == (400, "mixing")


def test_one_list_of_presets_and_stored_voices(live, home):
    form(live, "anna", wav())
    (home / "data/voices/broken").mkdir()
    listed = live.client.get("/v1/voices").json()
    assert [(voice["id"], voice["kind"]) for voice in listed["voices"]] == [
        *((name, "preset") for name in tone.PITCHES),
        ("anna", "stored"),
    ]
    assert [voice["id"] for voice in listed["voices"] if voice["default_of"]] == ["mid"]
    assert listed["problems"] == [{"id": "broken", "problem": "it has no recording"}]
    assert live.client.get("/v1/voices", params={"model": "none"}).status_code == 404
    assert live.client.delete("/v1/voices/broken").status_code == 204


def test_change_and_removal(live):
    form(live, "anna", wav(), language="en", description="d")
    changed = live.client.patch("/v1/voices/anna", json={"id": "annie", "language": None, "texts": {"00.wav": "new"}})
    assert changed.status_code == 200
    voice = changed.json()
    assert (voice["id"], voice["languages"], voice["description"]) == ("annie", [], "d")
    assert voice["recordings"][0]["text"] == "new"
    assert live.client.get("/v1/voices/anna").status_code == 404
    for body in ({"id": "low"}, {"id": "../x"}, {"texts": {"nothing.wav": ""}}, {"name": 1}, {"nom": "x"}):
        assert live.client.patch("/v1/voices/annie", json=body).status_code in (400, 409)
    assert live.client.delete("/v1/voices/annie").status_code == 204
    assert live.client.delete("/v1/voices/annie").status_code == 404
    assert live.client.delete("/v1/voices/low").status_code == 404


def nan():
    return wav(value=np.nan)


BOMB = wav(3600, 8000, 1, "PCM_16", "FLAC", value=0.0)


@pytest.mark.parametrize(
    ("audio", "status", "words"),
    [
        (BOMB, 400, "longer than 10 seconds"),
        (wav()[:-500], 400, "cut off"),
        (wav(0), 400, "empty"),
        (b"", 400, "empty"),
        (wav(0.1, channels=20), 400, "20 channels"),
        (wav(0.1, rate=2000), 400, "2000 Hz"),
        (wav(0.1, rate=384_000), 400, "384000 Hz"),
        (nan(), 400, "NaN"),
        (b"\x89PNG\r\n\x1a\n" + bytes(1000), 400, "not audio"),
        (b"#EXTM3U\nfile:///etc/passwd\n", 400, "not audio"),
        (wav(20, 48_000, 2), 413, "limit"),
    ],
    ids=[
        "bomb",
        "cut",
        "no samples",
        "no bytes",
        "channels",
        "slow",
        "fast",
        "nan",
        "picture",
        "playlist",
        "too large",
    ],
)
def test_unusable_recordings_are_refused_with_a_reason(live, home, audio, status, words):
    answer = form(live, "bad", audio)
    assert answer.status_code == status
    assert words in answer.json()["message"]
    assert not (home / "data/voices/bad").exists()


def test_the_unusable_one_of_several_recordings_is_named(live):
    answer = form(live, "bad", wav(), b"nothing")
    assert answer.json()["message"].startswith("recording 2: ")


@pytest.mark.parametrize(
    ("id", "audio", "fields", "status", "words"),
    [
        ("low", [wav()], {}, 409, "preset"),
        ("LOW", [wav()], {}, 409, "preset"),
        ("../up", [wav()], {}, 400, "voice id"),
        ("", [wav()], {}, 400, "1 to 255 characters"),
        ("a", [], {}, 400, "unknown field"),
        ("a", [wav()], {"text": ["1", "2"]}, 400, "one text for each"),
        ("a", [wav(0.05)] * 17, {}, 400, "at most 16"),
        ("a", [wav()], {"audio": "text"}, 400, "must be a file"),
        ("a", [wav()], {"name": ["1", "2"]}, 400, "more than once"),
        ("a", [wav()], {"language": "not a tag"}, 400, "language"),
        ("a", [wav()], {"text": "x" * 10_001}, 400, "transcript"),
        ("a", [wav()], {"description": "x" * 10_001}, 400, "description"),
    ],
)
def test_invalid_forms_are_refused(live, id, audio, fields, status, words):
    answer = form(live, id, *audio, **fields)
    assert answer.status_code == status
    assert words in answer.json()["message"]


def test_paths_and_urls_are_opened_only_where_the_settings_say(live, home):
    def keep(**recording):
        return live.client.post("/v1/voices", json={"id": "named", "recordings": [recording]})

    (home / "secret.wav").write_bytes(wav())
    for path in ("../secret.wav", str(home / "secret.wav"), "/etc/passwd"):
        assert keep(path=path).json()["code"] == "forbidden"
    assert keep(url=f"{live.url}/v1/voices/anna/audio").json()["code"] == "forbidden"
    assert keep(path="a.wav", audio="").status_code == 400
    assert keep().status_code == 400
    assert keep(path="a.wav").status_code == 201


def test_two_forms_with_one_id_make_one_voice(live):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: form(live, "one", wav(0.1 + number / 10)).status_code, range(4)))
    assert sorted(answers) == [201, 409, 409, 409]


def test_presets_are_known_once_a_model_has_been_loaded(served, tmp_path):
    from hub.settings import ModelSettings

    slow = ModelSettings(backend="tone", preload=False, deadline=0.05, options={"load_seconds": 30})
    lazy = served(data=str(tmp_path), models={"lazy": ModelSettings(backend="tone", preload=False), "slow": slow})
    assert lazy.client.get("/v1/voices").json() == {"voices": [], "problems": [], "not_loaded": ["lazy", "slow"]}
    known = lazy.client.get("/v1/voices", params={"model": "lazy"}).json()
    assert [voice["id"] for voice in known["voices"]] == list(tone.PITCHES)
    listed = lazy.client.get("/v1/voices").json()
    assert listed["not_loaded"] == ["slow"]
    assert listed["voices"][0]["models"]["slow"]["reason"] == "it is a preset of tone, which model 'slow' does not have"
    late = lazy.client.get("/v1/voices", params={"model": "slow"})
    assert (late.status_code, late.json()["code"]) == (503, "deadline_exceeded")
