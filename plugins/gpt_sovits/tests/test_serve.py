"""`ttshub gpt-sovits serve` in a real process, with the official flags and yaml: it speaks, restarts and ends."""

import io

import httpx
import pytest
import soundfile
from click.testing import CliRunner
from hub_gpt_sovits.commands import gpt_sovits, model_of

from hub.cli.session import Session
from hub.testing.fixtures import hub_process
from plugins.gpt_sovits.tests.support import tiny as gpt_sovits_tiny

YAML = """
custom:
  bert_base_path: {root}/chinese-roberta-wwm-ext-large
  cnhuhbert_base_path: {root}/chinese-hubert-base
  device: cpu
  is_half: true
  t2s_weights_path: gsv-v2final-pretrained/s1bert25hz-5kh-longer-epoch=12-step=369668.ckpt
  version: v2
  vits_weights_path: gsv-v2final-pretrained/s2G2333k.pth
"""
CONFIG = """
[compat.gpt_sovits.options]
control = true
"""


def test_the_official_flags_and_yaml_serve_the_api_alone(gpt_sovits_release, tmp_path):
    config = tmp_path / "tts_infer.yaml"
    config.write_text(YAML.format(root=gpt_sovits_release), encoding="utf-8")
    (tmp_path / "voices").mkdir()
    (tmp_path / "voices" / "a.wav").write_bytes(gpt_sovits_tiny.recording())
    command = ["gpt-sovits", "serve", "-a", "127.0.0.1", "-p", "0", "-c", str(config)]
    command += ["--root", str(gpt_sovits_release), "--references", str(tmp_path / "voices")]
    with hub_process(CONFIG, ready=False, command=command) as server:
        fields = {
            "text": "你好世界。",
            "text_lang": "zh",
            "ref_audio_path": "a.wav",
            "prompt_text": "你好。",
            "prompt_lang": "zh",
        }
        answer = server.client.get("/tts", params=fields)
        assert answer.status_code == 200, answer.text + server.logged
        assert soundfile.info(io.BytesIO(answer.content)).samplerate == 32_000
        assert server.client.get("/v1/models").status_code == 404
        refused = server.client.get("/tts", params=fields | {"text_lang": "xx"})
        assert refused.json()["message"] == "text_lang: xx is not supported in version v2"
        assert server.client.get("/control").json()["message"] == "command is required"
        assert server.client.get("/control?command=dance").text == "null"
        assert server.client.get("/control?command=restart").json() == {"message": "success"}
        assert server.client.get("/tts", params=fields).status_code == 200
        assert server.client.get("/control?command=exit").status_code == 200
        assert server.process.wait(30) in (0, -15)
        with pytest.raises(httpx.TransportError):
            server.client.get("/tts")


@pytest.mark.parametrize(
    ("content", "dtype"),
    [
        ("device: cuda, is_half: true", "float16"),
        ("device: cuda, is_half: false", "float32"),
        ("device: cuda", "auto"),
        ("device: cpu, is_half: true", "auto"),
    ],
)
def test_the_yaml_sets_the_precision(tmp_path, content, dtype):
    config = tmp_path / "tts_infer.yaml"
    config.write_text(f"custom: {{{content}}}")
    assert model_of(config, tmp_path).dtype == dtype


@pytest.mark.parametrize(
    ("content", "said"), [("", "no section `custom`"), ("custom: [", "not YAML"), (None, "No such file")]
)
def test_a_yaml_that_cannot_be_used_is_reported(tmp_path, content, said):
    config = tmp_path / "tts_infer.yaml"
    if content is not None:
        config.write_text(content)
    result = CliRunner().invoke(gpt_sovits, ["serve", "-c", str(config)], obj=Session())
    assert result.exit_code != 0
    assert said in f"{result.output}{result.exception}"
