"""`ttshub say`, from the text to the bytes."""

import io
import json
import os
import signal
import time
import wave

import numpy as np
import pytest
import soundfile

from hub.testing import tone

TEXT = "Hello from the hub."


def heard(source):
    samples, rate = soundfile.read(source)
    return tone.decode(samples, rate)


def test_the_embedded_voice_needs_no_configuration(program):
    (program.folder / "hub.toml").unlink()
    summary = program.json("say", TEXT, "--out", "hello.wav")
    assert summary["model"] == "hibari"
    info = soundfile.info(program.folder / "hello.wav")
    assert info.duration == pytest.approx(summary["seconds"], abs=0.01)
    assert 0.8 < info.duration < 5
    assert info.samplerate == summary["sample_rate"]


def test_a_file(program):
    summary = program.json("say", TEXT, "-o", "a.wav", "--voice", "high", "--sample-rate", 48000)
    samples, rate = soundfile.read(program.folder / "a.wav")
    assert tone.decode(samples, rate) == TEXT
    assert tone.pitch_of(samples, rate) == tone.PITCHES["high"]
    assert (summary["path"], summary["model"], summary["voice"], rate) == ("a.wav", "tone", "high", 48000)
    assert summary["seconds"] == pytest.approx(len(samples) / rate, abs=0.01)
    assert summary["first_audio_ms"] > 0
    assert summary["rtf"] > 0
    assert sorted(path.name for path in program.folder.iterdir()) == ["a.wav", "hub.toml"]


def test_text_from_stdin_in_another_format(program):
    done = program.run("say", "--out", "a.flac", given="Grüße, 世界".encode())
    assert done.returncode == 0, done.stderr
    assert "a.flac" in done.stderr
    assert done.stdout == b""
    assert heard(program.folder / "a.flac") == "Grüße, 世界"


def test_stdout_is_a_stream_that_players_can_read(program):
    done = program.run("say", "-", "--out", "-", "--json", given=TEXT.encode())
    assert heard(io.BytesIO(done.stdout)) == TEXT
    with wave.open(io.BytesIO(done.stdout)) as opened:
        assert opened.getframerate() == tone.SAMPLE_RATE
    assert json.loads(done.stderr)["path"] is None


def test_an_existing_file_is_replaced_only_by_a_complete_one(program):
    out = program.folder / "a.wav"
    out.write_bytes(b"before")
    done = program.run("say", TEXT, "--out", "a.wav", "--option", "fail_at=3")
    assert done.returncode == 5
    assert "error: backend_failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_bytes() == b"before"
    assert sorted(path.name for path in program.folder.iterdir()) == ["a.wav", "hub.toml"]
    assert program.run("say", TEXT, "--out", "a.wav").returncode == 0
    assert heard(out) == TEXT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_leaves_no_file(program, number):
    process = program.start("say", TEXT, "-o", "a.wav", "--option", "paced=true", "--option", "seconds=600")
    parts = []
    while not parts and process.poll() is None:  # there is no event to await when a file appears
        time.sleep(0.01)
        parts = list(program.folder.glob(".a.wav.*.part"))
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert parts
    assert process.returncode == 130
    assert err.decode().strip() == "interrupted"
    assert [path.name for path in program.folder.iterdir()] == ["hub.toml"]


def test_a_reader_that_leaves_early_ends_it_quietly(program):
    process = program.start("say", TEXT, "--out", "-", "--option", "paced=true", "--option", "seconds=600")
    assert process.stdout.read(4) == b"RIFF"
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 141
    assert err == b""


def script(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_without_a_file_it_plays(program, tmp_path_factory):
    players = tmp_path_factory.mktemp("players")
    script(players, "aplay", f"exec /bin/cat > {players}/played")
    done = program.run("say", TEXT, environ={"PATH": str(players)})
    assert done.returncode == 0, done.stderr
    assert heard(players / "played") == TEXT


def test_a_player_that_fails(program, tmp_path_factory):
    players = tmp_path_factory.mktemp("players")
    script(players, "aplay", "echo no sound card >&2; exit 1")
    done = program.run("say", TEXT, environ={"PATH": str(players)})
    assert done.returncode == 1
    assert "aplay could not play: no sound card" in done.stderr


def test_a_player_that_is_closed_early_ends_it_quietly(program, tmp_path_factory):
    players = tmp_path_factory.mktemp("players")
    script(players, "aplay", "exec /usr/bin/head -c 100 > /dev/null")
    done = program.run("say", TEXT, "--option", "seconds=5000", environ={"PATH": str(players)})
    assert (done.returncode, done.stderr) == (141, "")


def test_no_player(program, tmp_path):
    done = program.run("say", TEXT, environ={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "--out FILE" in done.stderr


REFUSED = {
    "no such voice": (["--voice", "nobody"], 1, "unknown_voice", "low, mid, high"),
    "no such model": (["--model", "nobody"], 1, "unknown_model", "tone"),
    "no such option": (["--option", "colour=red"], 1, "invalid_request", "chunk_ms"),
    "what the model cannot do": (["--instruct", "whisper"], 1, "unsupported_capability", "instruct"),
    "crash": (["--option", "crash_at=2"], 5, "backend_crashed", "tone"),
    "silence": (["--option", "silent=true"], 5, "empty_audio", "silence"),
    "no server": (["--url", "http://127.0.0.1:9"], 4, "server_unreachable", "ttshub serve"),
}


@pytest.mark.parametrize(("args", "code", "name", "words"), REFUSED.values(), ids=REFUSED)
def test_errors_have_a_code_and_advice(program, args, code, name, words):
    done = program.run("say", TEXT, "--out", "a.wav", *args)
    assert done.returncode == code
    assert done.stderr.startswith(f"error: {name}\n")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in program.folder.iterdir()] == ["hub.toml"]


USAGE = {
    "speed": ["--speed", "9", "-o", "a.wav"],
    "sample rate": ["--sample-rate", "1", "-o", "a.wav"],
    "option": ["--option", "colour", "-o", "a.wav"],
    "no extension": ["-o", "a"],
    "format of the speakers": ["--format", "mp3"],
    "not text": ["-", "-o", "a.wav"],
}


@pytest.mark.parametrize("args", USAGE.values(), ids=USAGE)
def test_wrong_usage(invoke, args):
    done = invoke("say", *([TEXT] if args[0] != "-" else []), *args, input=b"\xff")
    assert done.exit_code == 2
    assert "Error:" in done.stderr


@pytest.mark.parametrize(("out", "words"), [("none/a.wav", "there is no folder none"), ("here.wav", "is a folder")])
def test_output_paths_that_cannot_be_written(invoke, tmp_path, out, words):
    (tmp_path / "here.wav").mkdir()
    done = invoke("say", TEXT, "--out", out)
    assert done.exit_code == 1
    assert words in done.stderr


def test_a_link_stays_a_link_and_a_device_a_device(program):
    (program.folder / "link.wav").symlink_to("target.wav")
    assert program.run("say", TEXT, "-o", "link.wav").returncode == 0
    assert (program.folder / "link.wav").is_symlink()
    assert heard(program.folder / "target.wav") == TEXT
    assert program.run("say", TEXT, "-o", os.devnull, "--format", "wav").returncode == 0


@pytest.mark.parametrize("extension", ["wav", "pcm", "flac", "mp3", "opus", "aac"])
def test_a_running_hub_speaks(program, served, extension):
    summary = program.json("say", TEXT, "-o", f"a.{extension}", environ=served)
    expected = (len(TEXT) + 2) * tone.SYMBOL / tone.SAMPLE_RATE
    assert summary["seconds"] == pytest.approx(expected, abs=0.15)
    assert summary["model"] == "tone"
    file = program.folder / f"a.{extension}"
    if extension in ("wav", "flac"):
        assert heard(file) == TEXT
    if extension == "wav":
        assert soundfile.info(file).duration == pytest.approx(expected)  # by the length in its header
    if extension == "pcm":
        assert tone.decode(np.fromfile(file, "<i2") / 32768, tone.SAMPLE_RATE) == TEXT


REMOTE_REFUSED = {
    "no key": (["--api-key", ""], 1, "unauthorized"),
    "wrong key": (["--api-key", "wrong"], 1, "unauthorized"),
    "no such voice": (["--voice", "nobody"], 1, "unknown_voice"),
    "it breaks off": (["--option", "fail_at=10", "--option", "chunk_ms=40"], 5, "backend_crashed"),
}


@pytest.mark.parametrize(("args", "code", "name"), REMOTE_REFUSED.values(), ids=REMOTE_REFUSED)
def test_a_running_hub_refuses(program, served, args, code, name):
    done = program.run("say", TEXT, "-o", "a.wav", *args, environ=served)
    assert (done.returncode, done.stderr.partition("\n")[0]) == (code, f"error: {name}")
    assert [path.name for path in program.folder.iterdir()] == ["hub.toml"]
