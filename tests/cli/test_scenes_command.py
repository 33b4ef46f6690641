"""ttshub scenes: on this machine and on a running hub."""

import json

import pytest


@pytest.fixture
def call(invoke, tmp_path):
    (tmp_path / "hub.toml").write_text('data = "data"\nscene_folders = ["more"]\n[models.tone]\nbackend = "tone"\n')

    def call(*args, code=0, json_=True):
        done = invoke("scenes", *args, *(["--json"] if json_ else []))
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if json_ and done.stdout.startswith(("{", "[")) else done.output

    return call


@pytest.fixture
def higgs(tmp_path):
    folder = tmp_path / "scene_prompts"
    folder.mkdir()
    (folder / "quiet_indoor.txt").write_text("Audio is recorded from a quiet room.\n")
    (folder / "reading_blog.txt").write_text("A blog is read aloud.\n")
    return folder


def ids(found):
    return [scene["id"] for scene in found["scenes"]]


def test_a_folder_is_imported_listed_and_removed(call, higgs, tmp_path):
    assert [row["outcome"] for row in call("import", higgs)] == ["kept", "kept"]
    assert ids(call("list")) == ["quiet_indoor", "reading_blog"]
    assert "quiet room" in call("list", json_=False)
    (higgs / "broken.txt").write_bytes(b"\xff")
    assert [row["outcome"] for row in call("import", higgs, code=1)] == ["failed", "skipped", "skipped"]
    assert [row["outcome"] for row in call("import", higgs, "--replace", code=1)] == ["failed", "kept", "kept"]
    call("remove", "quiet_indoor", "reading_blog")
    assert ids(call("list")) == []
    assert "unknown_scene" in call("remove", "quiet_indoor", code=1)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "beside.txt").write_text("Read only.")
    assert ids(call("list")) == ["beside"]
    assert "conflict" in call("remove", "beside", code=1)


def test_the_scenes_of_a_running_hub(call, higgs, served):
    url = ["--url", served["TTSHUB_URL"], "--api-key", served["TTSHUB_API_KEY"]]
    assert [row["outcome"] for row in call("import", higgs, *url)] == ["kept", "kept"]
    assert [row["outcome"] for row in call("import", higgs, *url)] == ["skipped", "skipped"]
    assert set(ids(call("list", *url))) >= {"quiet_indoor", "reading_blog"}
    call("remove", "quiet_indoor", "reading_blog", *url)
    assert not {"quiet_indoor", "reading_blog"} & set(ids(call("list", *url)))
