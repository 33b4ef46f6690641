"""`ttshub convert`: a recording, said again with another voice."""

import io

import pytest
import soundfile

from hub.settings import ModelSettings, Settings
from hub.testing import tone
from hub.testing.fixtures import serve_hub

TEXT = "say this again"
ABLE = '[models.tone]\nbackend = "tone"\noptions = { conversion = true }\n'


@pytest.fixture
def me(program):
    """A recording of TEXT by the voice `low`; the model of the folder converts."""
    (program.folder / "hub.toml").write_text(ABLE)
    program.json("say", TEXT, "--voice", "low", "-o", "me.wav")
    return "me.wav"


def heard(source):
    samples, rate = soundfile.read(source)
    return tone.decode(samples, rate), tone.pitch_of(samples, rate)


def test_a_recording_is_said_again_with_another_voice(program, me):
    done = program.run("convert", me, "--voice", "high", "-o", "high.flac")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("high.flac: ")
    assert "model tone, voice high" in done.stderr
    assert heard(program.folder / "high.flac") == (TEXT, 220)


def test_references_stdin_and_stdout(program, me):
    recording = (program.folder / me).read_bytes()
    done = program.run("convert", "-", "-r", me, "-r", me, "--speed", "2", "--out", "-", given=recording)
    assert done.returncode == 0, done.stderr
    said, pitch = heard(io.BytesIO(done.stdout))
    assert (said, pitch in tone.CLONED_PITCHES) == (TEXT, True)


def test_a_running_hub_converts(program, me):
    models = {"far": ModelSettings(backend="tone", options={"conversion": True})}
    with serve_hub(Settings(models=models), [tone]) as live:
        summary = program.json("convert", me, "--url", live.url, "--voice", "high", "-o", "far.wav")
    assert (summary["model"], summary["voice"]) == ("far", "high")
    assert heard(program.folder / "far.wav") == (TEXT, 220)


def test_bad_input_and_models_that_cannot_convert_are_refused(program, me):
    missing = program.run("convert", "nowhere.wav", "-o", "a.wav")
    assert (missing.returncode, "cannot read nowhere.wav" in missing.stderr) == (1, True)
    wrong = program.run("convert", me, "--speed", "9", "-o", "a.wav")
    assert (wrong.returncode, "--speed" in wrong.stderr) == (2, True)
    refused = program.run("convert", "hub.toml", "-o", "a.wav")
    assert (refused.returncode, "invalid_audio" in refused.stderr) == (1, True)
    (program.folder / "hub.toml").write_text('[models.tone]\nbackend = "tone"\n')
    unable = program.run("convert", me, "-o", "a.wav")
    assert (unable.returncode, "has no conversion" in unable.stderr) == (1, True)
    assert not (program.folder / "a.wav").exists()
