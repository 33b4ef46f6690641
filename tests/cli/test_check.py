"""`ttshub check`, on one problem at a time."""

import socket
import sys

import pytest


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def test_a_good_configuration_has_no_problems(check):
    found, problems = check(f'[models.a]\nbackend = "tone"\n[server]\nport = {free_port()}\n')
    assert problems == []
    assert found["settings", ""] == ("ok", "hub.toml")
    assert found["plugin", "tone"][0] == "ok"
    assert found["device", "cpu"][0] == "ok"
    assert found["model", "a"][0] == "ok"


MODEL_PROBLEMS = {
    "no such GPU": ('device = "cuda:99"', "cuda:99"),
    "path": ('path = "./nowhere"', "there is no"),
    "interpreter": ('python = "./none/bin/python"', "there is no interpreter"),
    "not an interpreter": ('python = "false"', "cannot import hub.testing.tone:Tone"),
    "environment": ('env = { PYTHONPATH = "" , PYTHONHOME = "/nowhere" }', "cannot import"),
}


@pytest.mark.parametrize(("line", "words"), MODEL_PROBLEMS.values(), ids=MODEL_PROBLEMS)
def test_a_model_that_will_not_work(check, line, words):
    found, problems = check(f'[models.a]\nbackend = "tone"\n{line}\n[server]\nport = 0\n')
    assert problems == [("model", "a")]
    assert words in found["model", "a"][1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('device = "gpu"', "models.a.device: expected auto, cpu, cuda, cuda:N (such as cuda:1) or mps, got 'gpu'"),
        ('dtype = "bf16"', "models.a.dtype: expected one of auto, bfloat16, float16, float32, got 'bf16'"),
        ('dtype = "half"', "got 'half'"),
    ],
)
def test_invalid_devices_and_types_are_problems(check, line, words):
    found, problems = check(f'[models.a]\nbackend = "tone"\n{line}\n[server]\nport = 0\n')
    assert problems == [("settings", "")]
    assert words in found["settings", ""][1]


def test_an_interpreter_of_another_contract(check, tmp_path):
    other = tmp_path / "python"
    other.write_text("#!/bin/sh\necho '{\"contract\": 99}'\n")
    other.chmod(0o755)
    found, problems = check('[models.a]\nbackend = "tone"\npython = "python"\n[server]\nport = 0\n')
    assert problems == [("model", "a")]
    assert "contract 99" in found["model", "a"][1]


def test_another_interpreter_that_works(check):
    _, problems = check(f'[models.a]\nbackend = "tone"\npython = "{sys.executable}"\n[server]\nport = 0\n')
    assert problems == []


def test_settings_that_cannot_be_read(check):
    found, problems = check("[server]\nprot = 1\n")
    assert problems == [("settings", "")]
    assert "Did you mean 'port'?" in found["settings", ""][1]
    assert found["plugin", "tone"][0] == "ok"


def test_an_unknown_backend(check):
    found, problems = check('[models.a]\nbackend = "nobody"\n[server]\nport = 0\n')
    assert problems == [("model", "")]
    assert "nobody" in found["model", ""][1]


def test_options_that_a_plugin_does_not_know(check):
    found, problems = check('[models.a]\nbackend = "tone"\n[compat.hibari.options]\nloud = true\n[server]\nport = 0\n')
    assert problems == [("model", "")]
    assert "compat.hibari.options: plugin 'hibari' has no options" in found["model", ""][1]


def test_a_taken_port(check):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        _, problems = check(f'[models.a]\nbackend = "tone"\n[server]\nport = {port}\n')
    assert problems == [("server", f"127.0.0.1:{port}")]


def test_a_public_address_without_keys(check):
    text = '[models.a]\nbackend = "tone"\n[server]\nhost = "0.0.0.0"\nport = 0\n'
    found, problems = check(text)
    assert problems == [("server", "0.0.0.0:0")]
    assert "allow_public" in found["server", "0.0.0.0:0"][1]
    assert check(text + "allow_public = true\n")[1] == []


def test_load_speaks(check):
    bad = '[models.bad]\nbackend = "tone"\noptions = { fail_load = true }\n'
    found, problems = check(f'[models.good]\nbackend = "tone"\n{bad}[server]\nport = 0\n', "--load")
    assert "s of audio at 24000 Hz" in found["speech", "good"][1]
    assert problems == [("speech", "bad")]
    assert found["speech", "bad"][1].startswith("worker_start_failed: ")
    assert "--debug shows" in found["speech", "bad"][1]


def test_the_table(invoke, tmp_path):
    (tmp_path / "hub.toml").write_text('[models.a]\nbackend = "tone"\npath = "./[red]"\n[server]\nport = 0\n')
    done = invoke("check")
    assert done.exit_code == 1
    assert "[red]" in done.stdout
    assert done.stdout.rstrip().endswith("1 problem")


ROUTED = """
from hub import hookimpl
from litestar import get

@hookimpl
def register_routes(hub):
    @get("/v1/models", sync_to_thread=False)
    def models() -> None:
        return None

    return [models]
"""


def test_paths_that_are_taken_are_notes_and_not_problems(check, invoke, install, monkeypatch, tmp_path):
    install(tmp_path / "site", "rival-plugin", "rival = rival_plugin", rival_plugin=ROUTED)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    words = "GET /v1/models is already taken; use /compat/rival"
    found, problems = check('[server]\nport = 0\n[models.tone]\nbackend = "tone"\n')
    assert (found["plugin", "rival"], problems) == (("note", words), [])
    assert f"note: rival: {words}" in invoke("plugins").output
