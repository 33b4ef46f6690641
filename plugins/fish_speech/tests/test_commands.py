"""`ttshub fish`: errors are reported. The tests of docs/compat/fish_speech.md run the steps and the server."""

import socket

import numpy as np
import pytest
from click.testing import CliRunner
from hub_fish_speech.commands import _address, fish

from hub.cli.app import HubGroup
from hub.cli.session import Session


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `ttshub fish ...` in an empty folder; exit code and all that was printed."""
    monkeypatch.chdir(tmp_path)
    group = HubGroup(commands={"fish": fish})

    def run(*words):
        done = CliRunner().invoke(group, ["fish", *map(str, words)], obj=Session())
        return done.exit_code, done.output

    return run


@pytest.fixture
def codes(tmp_path):
    np.save(tmp_path / "codes.npy", np.ones((3, 4), np.int64))
    return tmp_path / "codes.npy"


def test_the_three_steps(run, fish_checkpoint, recording, tmp_path):
    (tmp_path / "ref.wav").write_bytes(recording)
    (tmp_path / "hub.toml").write_text(f'[models.a]\nbackend = "fish_speech"\npath = "{fish_checkpoint}"\n')
    assert run("encode", "ref.wav", "-o", "ref.npy", "--device", "cpu") == (0, "ref.npy: 3 codebooks, 11 frames\n")
    said = ("--text", "Hello.", "--prompt-text", "x", "--prompt-tokens", "ref.npy", "--max-new-tokens", 6)
    step = ("semantic", *said, "--device", "cpu", "--seed", 5)
    assert run(*step, "-o", "out/codes.npy", "--num-samples", 2)[0] == 0
    assert run(*step, "--output-dir", "more", "--seed", 6)[0] == 0
    first, second, third = (
        np.load(tmp_path / name) for name in ("out/codes_0.npy", "out/codes_1.npy", "more/codes_0.npy")
    )
    assert np.array_equal(second, third)  # of the same seed
    assert not np.array_equal(first, second)
    assert run("decode", "out/codes_0.npy", "-o", "out.flac", "--device", "cpu")[0] == 0
    assert (tmp_path / "out.flac").read_bytes()[:4] == b"fLaC"


def test_unreadable_codes_are_refused(run, codes, tmp_path, fish_checkpoint):
    (tmp_path / "text.npy").write_text("no codes")
    np.save(tmp_path / "float.npy", np.ones((3, 4)))
    np.save(tmp_path / "few.npy", np.ones((1, 4), np.int64))
    for file in ("text.npy", "float.npy"):
        code, printed = run("decode", file, "--checkpoint-path", fish_checkpoint)
        assert (code, "has no codes" in printed) == (1, True)
    code, printed = run("decode", "few.npy", "--checkpoint-path", fish_checkpoint)
    assert (code, "another model made them" in printed) == (1, True)
    code, printed = run("encode", "text.npy", "--checkpoint-path", fish_checkpoint)
    assert (code, "invalid_audio" in printed) == (1, True)
    code, printed = run("decode", codes, "-o", "x.midi", "--checkpoint-path", fish_checkpoint)
    assert (code, "unknown container 'midi'" in printed) == (1, True)
    code, printed = run("encode", "text.npy", "--checkpoint-path", tmp_path)
    assert (code, "Traceback" in printed) == (1, False)
    code, printed = run("decode", codes, "--device", "gpu", "--checkpoint-path", fish_checkpoint)
    assert (code, "--device is 'gpu'" in printed) == (5, True)


def test_wrong_usage(run, codes):
    code, printed = run("semantic", "--text", "a", "--prompt-text", "b")
    assert (code, "1 --prompt-text and 0 --prompt-tokens" in printed) == (2, True)
    code, printed = run("decode", codes)
    assert (code, "no_checkpoint" in printed) == (1, True)
    for listen in ("8080", "localhost:99999", "::1:80", ""):
        code, printed = run("serve", "--listen", listen)
        assert (code, "is not an address and port" in printed) == (2, True)
    code, printed = run("serve", "--half")
    assert (code, "without --llama-checkpoint-path" in printed) == (2, True)
    code, printed = run("serve", "--listen", "127.0.0.1:0")
    assert (code, "no model of plugin 'fish_speech' is configured" in printed) == (3, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, printed = run("serve", "--listen", f"127.0.0.1:{port}", "--llama-checkpoint-path", codes.parent)
    assert (code, "port_taken" in printed) == (1, True)


@pytest.mark.parametrize(
    ("listen", "address"),
    [("0.0.0.0:8080", ("0.0.0.0", 8080)), ("[::1]:80", ("::1", 80)), ("localhost:0", ("localhost", 0))],
)
def test_addresses(listen, address):
    assert _address(listen) == address
