"""Scenes, dictionaries, dialogues and pauses over HTTP."""

import io

import numpy as np
import pytest
import soundfile

from hub.testing import tone


@pytest.fixture(scope="module")
def own(served_once, tmp_path_factory):
    """A server with its own data folder, and a folder of scenes beside it."""
    folder = tmp_path_factory.mktemp("scenes")
    (folder / "quiet_indoor.txt").write_text("Audio is recorded from a quiet room.\n")
    live = served_once(data=str(tmp_path_factory.mktemp("data")), scene_folders=(str(folder),))
    live.wait_ready()
    live.scene_folder = folder
    return live


def test_scenes_come_and_go(own):
    scene = {"text": "", "cast": {"A": "low", "B": "high"}, "defaults": {"gap": 0.5}}
    answer = own.client.put("/v1/scenes/晚餐", json=scene)
    assert (answer.status_code, answer.json()["id"]) == (200, "晚餐")
    assert own.client.get("/v1/scenes/晚餐").json()["cast"] == scene["cast"]
    assert [one["id"] for one in own.client.get("/v1/scenes").json()["scenes"]] == ["quiet_indoor", "晚餐"]
    assert own.client.delete("/v1/scenes/晚餐").status_code == 204
    gone = own.client.get("/v1/scenes/晚餐")
    assert (gone.status_code, gone.json()["code"]) == (404, "unknown_scene")


def test_a_folder_of_scenes_is_served_as_it_is_now(own):
    path = own.scene_folder / "quiet_indoor.txt"
    assert own.client.get("/v1/scenes/quiet_indoor").json()["text"] == "Audio is recorded from a quiet room."
    path.write_text("Audio is recorded from a kitchen.")
    assert own.client.get("/v1/scenes/quiet_indoor").json()["text"] == "Audio is recorded from a kitchen."
    assert own.client.delete("/v1/scenes/quiet_indoor").status_code == 409


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/v1/scenes/x", {"txt": "a"}, "unknown field 'txt'"),
        ("/v1/scenes/x", {"cast": {"A": 5}}, "cast"),
        ("/v1/scenes/x", {"defaults": {"speed": "fast"}}, "speed"),
        ("/v1/scenes/..%2Fup", {}, ""),
        ("/v1/scenes/.hidden", {}, "cannot be a scene id"),
        ("/v1/dictionaries/x", {"entries": {"": "a"}}, "1 to 200"),
        ("/v1/dictionaries/x", {}, "entries"),
        ("/v1/dictionaries/con", {"entries": {}}, "cannot be a dictionary id"),
    ],
)
def test_invalid_scenes_and_dictionaries_are_refused(own, path, body, words):
    answer = own.client.put(path, json=body)
    assert answer.status_code in (400, 404)
    assert words in answer.json()["message"]


def test_dictionaries_come_and_go_and_change_what_is_spoken(own):
    answer = own.client.put("/v1/dictionaries/names", json={"entries": {"nguyen": "win"}, "description": "of people"})
    assert answer.json() == {"id": "names", "entries": {"nguyen": "win"}, "description": "of people"}
    listed = own.client.get("/v1/dictionaries").json()["dictionaries"]
    assert listed == [{"id": "names", "description": "of people", "words": 1}]
    samples, rate = audio(own.speak("Dear Nguyen", dictionary="names"))
    assert tone.decode(samples, rate) == "Dear win"
    assert own.client.delete("/v1/dictionaries/names").status_code == 204
    gone = own.speak("Dear Nguyen", dictionary="names")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


def audio(answer):
    assert answer.status_code == 200, answer.text
    return soundfile.read(io.BytesIO(answer.content), dtype="float32")


@pytest.mark.parametrize("stream", [False, True])
def test_a_dialogue_is_one_response(own, stream):
    own.client.put("/v1/scenes/chat", json={"cast": {"A": "low", "B": "high"}})
    turns = [{"speaker": "A", "text": "Who is there?"}, {"speaker": "B", "text": "It is me. [pause:1s]Me."}]
    body = {"turns": turns, "scene": "chat", "gap": 0.5, "stream": stream, "format": {"encoding": "f32le"}}
    samples, rate = audio(own.client.post("/v1/speech", json=body))
    edges = np.flatnonzero(np.diff((samples == 0).astype(int))) + 1
    parts = np.split(samples, edges)
    assert [len(part) for part in parts[1::2]] == [12_000, 24_000]
    assert [tone.decode(part, rate) for part in parts[::2]] == ["Who is there?", "It is me.", "Me."]
    assert [tone.pitch_of(part, rate) for part in parts[:4:2]] == [110, 220]


def test_subtitles_of_a_dialogue_show_what_was_written(own):
    turns = [{"speaker": "A", "text": "Say SQL."}, {"speaker": "B", "text": "Why?[pause:1s] Why not?"}]
    body = {"turns": turns, "pronunciations": {"SQL": "sequel"}, "gap": 1.0}
    with own.client.stream("POST", "/v1/speech/events", json=body) as answer:
        events = "".join(answer.iter_text())
    for text in ("Say SQL.", "Why?", "Why not?"):
        assert f'"text":"{text}"' in events
    assert "sequel" not in events
    assert "pause" not in events
