"""`ttshub cosyvoice client` and `serve`."""

import os
import subprocess
import sys
import wave

import httpx
import pytest
from click.testing import CliRunner
from hub_cosyvoice.commands import cosyvoice

from hub.cli.session import Session
from plugins.cosyvoice.tests.support.requests import recording

TTSHUB = [sys.executable, "-m", "hub"]


@pytest.fixture
def run(cosyvoice_hub, tmp_path):
    """The client against the live hub, in a folder of its own."""

    def run(*arguments):
        address = ["--host", "127.0.0.1", "--port", str(cosyvoice_hub.port)]
        target = ["--tts_text", "你好。", "--tts_wav", str(tmp_path / "out.wav")]
        return CliRunner().invoke(cosyvoice, ["client", *address, *target, *arguments], obj=Session())

    return run


def test_the_client_writes_the_right_rate(run, tmp_path):
    (tmp_path / "prompt.wav").write_bytes(recording())
    for arguments in (
        ("--mode", "sft", "--spk_id", "spk_a"),
        ("--mode", "zero_shot", "--prompt_text", "大家好。", "--prompt_wav", str(tmp_path / "prompt.wav")),
        ("--mode", "cross_lingual", "--prompt_wav", str(tmp_path / "prompt.wav")),
        ("--mode", "instruct2", "--instruct_text", "Happy.", "--prompt_wav", str(tmp_path / "prompt.wav")),
    ):
        result = run(*arguments)
        assert result.exit_code == 0, result.output
        with wave.open(str(tmp_path / "out.wav")) as file:
            assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (24_000, 2, 1)
            assert file.getnframes() > 0
        assert "at 24000 Hz" in result.output


def test_the_client_names_what_is_wrong(run):
    assert "spk_a" in run("--mode", "sft", "--spk_id", "nobody").output
    assert "needs --prompt_wav" in run("--mode", "cross_lingual").output
    assert "needs --instruct_text" in run("--mode", "instruct").output


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:80"])
def test_an_unreachable_server_and_an_invalid_address(tmp_path, host):
    result = CliRunner().invoke(
        cosyvoice, ["client", "--host", host, "--port", "1", "--tts_wav", str(tmp_path / "x.wav")], obj=Session()
    )
    assert result.exit_code == 1
    assert f"Error: http://{host}:1/inference_sft" in result.output


def test_serve_falls_back_to_the_cpu_and_serves_the_endpoints_alone(tmp_path, checkpoint):
    arguments = ["cosyvoice", "serve", "--host", "127.0.0.1", "--port", "0", "--gpu", "0"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "XDG_DATA_HOME": str(tmp_path)}
    log = tmp_path / "log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [*TTSHUB, *arguments, "--model_dir", str(checkpoint("v3"))],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        ) as server,
    ):
        assert server.stdout is not None
        try:
            url = server.stdout.readline().split(" at ")[1].split()[0]
            answer = httpx.post(
                f"{url}/inference_sft",
                data={"tts_text": "你好。", "spk_id": "spk_a"},
                headers={"origin": "https://example.org"},
                timeout=60,
                trust_env=False,
            )
            assert answer.status_code == 200, answer.text
            assert answer.content[:4] == b"RIFF"
            assert answer.headers["access-control-allow-origin"] == "*"
            assert httpx.get(f"{url}/v1/voices", trust_env=False).status_code == 404
            assert httpx.get(f"{url}/inference_nothing", trust_env=False).json()["code"] == "not_found"
        finally:
            server.terminate()
            server.communicate(timeout=30)
    assert "there is no GPU 0 here" in log.read_text()
