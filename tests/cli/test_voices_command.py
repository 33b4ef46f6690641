"""ttshub voices: on this machine and on a running hub; the folders of other programs."""

import json

import numpy as np
import pytest
import soundfile


def take(path, text=None, suffix=".txt", seconds=0.4):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.5 * np.sin(np.arange(int(16_000 * seconds)) / 5), 16_000)
    if text is not None:
        path.with_suffix(suffix).write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def call(invoke, tmp_path, monkeypatch):
    """Run `ttshub voices ARGS` on the test's own data folder; return JSON, or the output of a failure."""
    (tmp_path / "hub.toml").write_text('data = "data"\n[models.tone]\nbackend = "tone"\n')

    def call(*args, code=0, json_=True):
        done = invoke("voices", *args, *(["--json"] if json_ else []))
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if json_ and done.stdout.startswith(("{", "[")) else done.output

    return call


def ids(found):
    return [voice["id"] for voice in found["voices"]]


def test_a_voice_is_added_listed_renamed_and_removed(call, tmp_path):
    first, second = take(tmp_path / "a.wav", "from the file"), take(tmp_path / "b.wav")
    voice = call("add", "anna", first, second, "--language", "en", "--tag", "calm", "--consent", "Anna")
    assert [one.get("text") for one in voice["recordings"]] == ["from the file", None]
    assert voice["models"] == {"tone": {"usable": True, "reason": ""}}
    assert (tmp_path / "data/voices/anna/00.wav").is_file()
    assert ids(call("list")) == ["anna"]
    assert "anna" in call("list", json_=False)
    assert "from the file" in call("show", "anna", json_=False)
    assert call("rename", "anna", "annie")["id"] == "annie"
    assert "unknown_voice" in call("show", "anna", code=1)
    call("remove", "annie")
    assert ids(call("list")) == []
    assert "--text" in call("add", "x", first, second, "--text", "only one", code=2)


def test_invalid_recordings_and_ids_are_refused(call, tmp_path):
    (tmp_path / "bad.wav").write_text("no audio")
    assert "invalid_audio" in call("add", "x", tmp_path / "bad.wav", code=1)
    assert "voice id" in call("add", "../x", take(tmp_path / "a.wav"), code=1)
    assert not (tmp_path / "data").exists()


def test_the_folders_of_other_programs(call, tmp_path):
    fish, higgs, sovits = tmp_path / "fish", tmp_path / "higgs", tmp_path / "sovits"
    take(fish / "references/anna/1.wav", "one", ".lab")
    take(fish / "references/anna/2.mp3", "two", ".lab")
    take(fish / "references/ben/take.wav", "three", ".lab")
    take(higgs / "voice_prompts/belinda.wav", "Twas the night")
    take(higgs / "voice_prompts/no_transcript.wav")
    (higgs / "voice_prompts/profile.yaml").write_text("profiles: {}\n")
    for number in range(20):
        take(sovits / f"takes/{number:02}.wav", seconds=0.1)
    lines = [f"C:\\elsewhere\\takes\\{n:02}.wav|hana|JA|行 {n}" for n in range(20)]
    (sovits / "takes/train.list").write_text("\n".join([*lines, "takes/gone.wav|nobody|ZH|x", "", "no line"]))

    rows = call("import", fish)
    assert [(row["voice"], row["outcome"]) for row in rows] == [("anna", "kept"), ("ben", "kept")]
    rows = call("import", higgs)
    assert [(row["voice"], row["outcome"]) for row in rows] == [("belinda", "kept")]
    rows = call("import", sovits / "takes/train.list", code=1)
    assert [(row["voice"], row["outcome"]) for row in rows] == [("hana", "kept"), ("nobody", "failed")]
    assert "4 further recordings" in rows[0]["why"]
    rows = call("import", fish / "references")
    assert {row["outcome"] for row in rows} == {"skipped"}

    assert ids(call("list")) == ["anna", "belinda", "ben", "hana"]
    anna, hana = call("show", "anna"), call("show", "hana")
    assert [one["text"] for one in anna["recordings"]] == ["one", "two"]
    assert (hana["languages"], len(hana["recordings"])) == (["ja"], 16)
    assert hana["recordings"][3]["text"] == "行 3"
    (tmp_path / "empty").mkdir()
    assert "no voices" in call("import", tmp_path / "empty", code=1)


def test_an_exported_voice_is_the_same_when_imported(call, tmp_path):
    call("add", "anna", take(tmp_path / "a.wav", "said"), "--name", "Anna B", "--language", "en", "--tag", "x")
    before = call("show", "anna")
    assert call("export", "--out", tmp_path / "out")["written"] == ["anna"]
    assert sorted(path.name for path in (tmp_path / "out/anna").iterdir()) == ["00.txt", "00.wav", "voice.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["anna"]
    call("remove", "anna")
    assert call("import", tmp_path / "out")[0]["outcome"] == "kept"
    after = call("show", "anna")
    assert all(after[key] == before[key] for key in ("name", "languages", "tags", "digest", "recordings"))
    assert "already exists" in call("export", "anna", "--out", tmp_path / "out", code=5)


def test_on_a_running_hub(program, served, tmp_path):
    def remote(*args):
        return program.json("voices", *args, environ=served)

    assert remote("add", "anna", take(tmp_path / "a.wav", "said"))["id"] == "anna"
    assert set(ids(remote("list"))) >= {"anna"}
    assert remote("rename", "anna", "声")["id"] == "声"
    assert remote("export", "声", "--out", tmp_path / "out")["written"] == ["声"]
    assert soundfile.info(tmp_path / "out/声/00.wav").samplerate == 16_000
    remote("remove", "声")
    assert remote("import", tmp_path / "out")[0]["outcome"] == "kept"
    remote("remove", "声")
    done = program.run("voices", "show", "声", environ=served)
    assert done.returncode != 0
    assert "unknown_voice" in done.stderr
