"""The `ttshub` group: its imports, the plugins' commands, and its failures."""

import json
import os
import subprocess
import sys

import pytest

import hub

OWN = ["say", "serve", "models", "backends", "pull", "plugins", "check", "bench"]

GREETER = """
import click
from hub import hookimpl

@hookimpl
def register_commands(cli):
    @cli.command()
    def greet():
        "Greet."
        click.echo("good day")
"""

USURPER = """
import click
from hub import hookimpl

@hookimpl
def register_commands(cli):
    @cli.command()
    def say():
        "Not the hub's."
        click.echo("mine")
"""

BROKEN = "raise RuntimeError('broken on purpose')\n"


@pytest.fixture
def third_parties(program, tmp_path_factory, install):
    """A plugin that adds a command, one that would replace one, and one that cannot be imported."""
    folder = tmp_path_factory.mktemp("third")
    install(folder, "greeter", "greeter = greeter_plugin", greeter_plugin=GREETER)
    install(folder, "usurper", "usurper = usurper_plugin", usurper_plugin=USURPER)
    install(folder, "broken", "broken = broken_plugin", broken_plugin=BROKEN)
    program.environ["PYTHONPATH"] = str(folder) + os.pathsep + program.environ["PYTHONPATH"]
    return program


def test_help_lists_everything_and_the_exit_codes(invoke):
    done = invoke("--help")
    assert done.exit_code == 0
    for name in OWN:
        assert f"\n  {name} " in done.stdout
    for code in ("1    refused", "3    the configuration", "130  interrupted"):
        assert code in done.stdout


def test_help_is_light():
    heavy = ["litestar", "uvicorn", "numpy", "httpx", "av", "rich", "soundfile", "hub.service", "hub.api"]
    code = f"""
import sys
from hub.cli import main
try:
    main()
finally:
    print(*(set({heavy}) & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_version(invoke):
    assert invoke("--version").stdout == f"ttshub, version {hub.__version__}\n"


def test_plugins_add_commands(third_parties):
    done = third_parties.run("greet")
    assert (done.returncode, done.stdout) == (0, b"good day\n")
    assert b"greet" in third_parties.run("--help").stdout


def test_plugins_cannot_replace_commands_or_break_the_program(third_parties):
    done = third_parties.run("say", "Hello", "-o", "a.wav")
    assert done.returncode == 0, done.stderr
    done = third_parties.run("--help")
    assert b"Not the hub's" not in done.stdout
    assert done.stderr == ""


def test_plugins_lists_what_failed(third_parties):
    answer = third_parties.json("plugins")
    assert [one["plugin"] for one in answer["failures"]] == ["broken"]
    assert "broken on purpose" in answer["failures"][0]["error"]
    table = third_parties.run("plugins").stdout.decode()
    assert "failed: RuntimeError: broken on purpose" in table
    assert "greeter 1.0" in table


def test_a_disabled_plugin_adds_no_command(third_parties):
    done = third_parties.run("--set", "plugins.disabled=greeter,broken", "greet")
    assert done.returncode == 2
    answer = third_parties.json("plugins", "--set", "plugins.disabled=greeter,broken")
    assert {one["name"]: one["enabled"] for one in answer["plugins"]}["greeter"] is False
    assert answer["failures"] == []


def test_unknown_command(invoke):
    done = invoke("frobnicate")
    assert done.exit_code == 2
    assert "No such command 'frobnicate'" in done.stderr


BAD_SETTINGS = {
    "no such file": (["--config", "none.toml", "models"], {}, "none.toml"),
    "after the command too": (["models", "--config", "none.toml"], {}, "none.toml"),
    "bad value": (["--set", "server.port=x", "models"], {}, "server.port"),
    "bad variable": (["models"], {"TTSHUB_SERVER_PROT": "1"}, "TTSHUB_SERVER_PORT"),
    "no such backend": (["--set", "models.a.backend=nobody", "models"], {}, "models.a.backend"),
    "no such default": (["--set", "default_model=nobody", "models"], {}, "default_model"),
    "public without keys": (["serve", "--host", "0.0.0.0"], {}, "allow_public"),
}


@pytest.mark.parametrize(("args", "environ", "words"), BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_bad_settings_end_with_3(invoke, args, environ, words):
    done = invoke(*args, env=environ)
    assert done.exit_code == 3
    assert done.stderr.startswith("error: settings\n")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("args", [["--set", "server.port", "models"], ["models", "--api-key"], ["bench", "-n", "0"]])
def test_wrong_usage_ends_with_2(invoke, args):
    assert invoke(*args).exit_code == 2


def test_backends(invoke):
    done = invoke("backends", "--json")
    found = {backend["name"]: backend for backend in json.loads(done.stdout)}
    assert {"hibari", "tone"} <= set(found)
    assert found["tone"]["capabilities"]["cloning"] is True
    assert found["tone"]["plugin"] == "tone"
    assert "chunk_ms" in json.dumps(found["tone"]["options_schema"])
    table = invoke("backends").stdout
    assert "tone" in table
    assert "chunk_ms" in table


def test_configured_models(invoke, tmp_path):
    (tmp_path / "hub.toml").write_text('[models.a]\nbackend = "tone"\n[models.b]\nbackend = "gone"\ndevice = "cuda"\n')
    models = json.loads(invoke("--set", "plugins.disabled=x", "models", "--json").stdout)
    assert [(model["name"], model["default"], model["available"]) for model in models] == [
        ("a", True, True),
        ("b", False, False),
    ]
    assert "gone" in invoke("--set", "plugins.disabled=x", "models").stdout


def test_debug_shows_where(invoke):
    assert "Traceback" in invoke("--debug", "--config", "none.toml", "models").stderr


def test_an_unexpected_error_is_called_a_bug(monkeypatch, invoke):
    def fails(*args, **options):
        raise RuntimeError("something unforeseen")

    monkeypatch.setattr("hub.settings_load.load_settings", fails)
    done = invoke("models")
    assert done.exit_code == 1
    assert "this is a bug" in done.stderr
    assert "something unforeseen" in done.stderr
