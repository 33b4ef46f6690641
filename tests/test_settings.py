"""Settings: precedence, refusals and their messages."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.settings import ApiKey, Settings, SettingsError
from hub.settings_load import find_config, load_settings

FILE = """
default_model = "s1-mini"

[server]
port = 9100

[models.s1-mini]
backend = "fish-speech"
device = "cuda"
options = { temperature = 0.5 }

[models.tone]
backend = "tone"
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, text, name="hub.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(path=None, environ=None, overrides=None):
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environ=environ or {}, overrides=overrides or {})
    return "\n".join(caught.value.problems)


def test_without_anything_the_defaults_hold(folder):
    assert load_settings(environ={}) == Settings()


def test_the_command_line_beats_the_environment_beats_the_file(folder):
    write(folder, FILE)
    assert load_settings(environ={}).server.port == 9100
    environ = {"TTSHUB_SERVER_PORT": "9200"}
    assert load_settings(environ=environ).server.port == 9200
    settings = load_settings(environ=environ, overrides={"server.port": 9300})
    assert settings.server.port == 9300
    assert settings.default_model == "s1-mini"
    assert settings.models["s1-mini"].options == {"temperature": 0.5}


def test_which_file_is_read(folder):
    assert find_config(None, {}) is None
    usual = write(folder, FILE)
    other = write(folder, "", "other.toml")
    assert find_config(None, {}) == Path(usual.name)
    assert find_config(None, {"TTSHUB_CONFIG": str(other)}) == other
    assert find_config(usual, {"TTSHUB_CONFIG": str(other)}) == usual


@pytest.mark.parametrize(
    ("path", "environ", "origin"),
    [(Path("no.toml"), {}, "--config"), (None, {"TTSHUB_CONFIG": "no.toml"}, "TTSHUB_CONFIG")],
)
def test_a_file_that_was_asked_for_must_exist(folder, path, environ, origin):
    write(folder, FILE)
    message = problems(path, environ)
    assert origin in message
    assert "no.toml" in message


BAD_FILES = {
    "unknown key": ("[server]\nprot = 1", ["server.prot", "unknown key", "Did you mean 'port'?", "host, port"]),
    "unknown section": ("[serve]\nport = 1", ["serve: unknown key", "Did you mean 'server'?", "default_model"]),
    "key of another section": ("port = 1", ["port: unknown key", "Did you mean 'server.port'?"]),
    "unknown model key": (
        '[models.s1-mini]\nbackend = "x"\ndevcie = "cpu"',
        ["models.s1-mini.devcie", "Did you mean 'device'?", "backend, path, device"],
    ),
    "wrong type": ('[server]\nport = "a"', ["server.port", "a whole number from 0 to 65535", "got 'a'"]),
    "bool for a number": ("[server]\nport = true", ["server.port", "got true"]),
    "number for a bool": ("[server]\nallow_public = 1", ["server.allow_public", "true or false", "got 1"]),
    "out of range": ("[server]\nport = 70000", ["server.port", "from 0 to 65535", "got 70000"]),
    "not positive": ("[worker]\nstart_timeout = 0", ["worker.start_timeout", "a number over 0", "got 0"]),
    "not a number": ("[worker]\nstart_timeout = nan", ["worker.start_timeout", "a number over 0"]),
    "below one": ("[worker]\nbreaker_crashes = 0", ["worker.breaker_crashes", "a whole number, 1 or more"]),
    "no such level": ('log_level = "loud"', ["log_level", "one of", "debug", "got 'loud'"]),
    "string for a list": ('[cors]\norigins = "*"', ["cors.origins", "a list of strings", "got '*'"]),
    "list of the wrong thing": ("[plugins]\ndisabled = [1]", ["plugins.disabled", "a list of strings"]),
    "number for a table": ("server = 3", ["server", "expected a table", "got 3"]),
    "list for a table": ("models = []", ["models", "expected a table", "got a list"]),
    "string for a model": ('[models]\ntone = "tone"', ["models.tone", "expected a table", "got 'tone'"]),
    "string for a key": ('[auth]\nkeys = ["x"]', ["auth.keys[0]", "expected a table"]),
    "backend missing": ('[models.a]\npath = "x"', ["models.a", "'backend' is missing"]),
    "concurrency": ('[models.a]\nbackend = "x"\nconcurrency = 0', ["models.a.concurrency", "1 or more"]),
    "environment of a worker": ('[models.a]\nbackend = "x"\nenv = {A = 1}', ["models.a.env", "a table of strings"]),
    "not TOML": ("[server\nport = 1", ["not valid TOML", "line 1"]),
}


@pytest.mark.parametrize(("text", "expected"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_is_refused_with_advice(folder, text, expected):
    write(folder, text)
    message = problems()
    assert message.startswith("hub.toml: ")
    for part in expected:
        assert part in message


def test_a_file_that_is_not_text(folder):
    (folder / "hub.toml").write_bytes(b"\xff\xfe")
    assert "UTF-8" in problems()


def test_all_problems_are_reported_at_once(folder):
    write(folder, "[server]\nport = 70000\nhots = 'x'\n[worker]\nstart_timeout = -1")
    message = problems(environ={"TTSHUB_SERVER_POTR": "1"})
    for key in ("server.port", "server.hots", "worker.start_timeout", "TTSHUB_SERVER_POTR"):
        assert key in message


def test_environment_types(folder):
    environ = {
        "TTSHUB_DEFAULT_MODEL": "123",
        "TTSHUB_SERVER_ALLOW_PUBLIC": "true",
        "TTSHUB_WORKER_START_TIMEOUT": "12.5",
        "TTSHUB_PLUGINS_DISABLED": "fish, higgs",
        "TTSHUB_CORS_ORIGINS": '["http://a", "http://b"]',
        "TTSHUB_MODELS": json.dumps({"tone": {"backend": "tone", "options": {"hz": 440}}}),
        "TTSHUB_LIMITS_TEXT_CHARS": "",
        "PATH": "/bin",
    }
    settings = load_settings(environ=environ)
    assert settings.default_model == "123"
    assert settings.server.allow_public is True
    assert settings.worker.start_timeout == 12.5
    assert settings.plugins.disabled == ("fish", "higgs")
    assert settings.cors.origins == ("http://a", "http://b")
    assert settings.models["tone"].options == {"hz": 440}
    assert settings.limits == Settings().limits


def test_environment_reaches_configured_models(folder):
    write(folder, FILE)
    environ = {
        "TTSHUB_MODELS_S1_MINI_DEVICE": "cpu",
        "TTSHUB_MODELS_S1_MINI_OPTIONS": '{"top_p": 0.9}',
        "TTSHUB_MODELS_TONE_CONCURRENCY": "4",
    }
    models = load_settings(environ=environ).models
    assert models["s1-mini"].device == "cpu"
    assert models["s1-mini"].options == {"temperature": 0.5, "top_p": 0.9}
    assert models["tone"].concurrency == 4


def test_environment_can_add_a_model(folder):
    environ = {"TTSHUB_MODELS_BIG_ONE_DEVICE": "cuda:1", "TTSHUB_MODELS_BIG_ONE_BACKEND": "tone"}
    assert load_settings(environ=environ).models["big-one"].device == "cuda:1"


def test_two_models_of_one_spelling_are_not_guessed_at(folder):
    write(folder, '[models.a-b]\nbackend = "x"\n[models.a_b]\nbackend = "x"')
    message = problems(environ={"TTSHUB_MODELS_A_B_DEVICE": "cpu"})
    assert "TTSHUB_MODELS_A_B_DEVICE" in message
    assert "models.a-b.device or models.a_b.device" in message


BAD_ENVIRONMENTS = {
    "unknown": ("TTSHUB_SERVER_PROT", "1", ["Did you mean TTSHUB_SERVER_PORT"]),
    "far off": ("TTSHUB_ZZZ", "1", ["no such setting", "such as TTSHUB_SERVER_PORT"]),
    "unknown key of a known model": ("TTSHUB_MODELS_TONE_DEVCIE", "1", ["TTSHUB_MODELS_TONE_DEVICE"]),
    "unknown model": ("TTSHUB_MODELS_NOBODYKNOWS_X", "1", ["TTSHUB_MODELS_<NAME>_BACKEND"]),
    "wrong type": ("TTSHUB_SERVER_PORT", "many", ["server.port", "a whole number from 0 to 65535", "got 'many'"]),
    "out of range": ("TTSHUB_SERVER_PORT", "70000", ["server.port", "from 0 to 65535"]),
    "bad bool": ("TTSHUB_SERVER_ALLOW_PUBLIC", "perhaps", ["server.allow_public", "true or false"]),
    "bad JSON list": ("TTSHUB_CORS_ORIGINS", "[1", ["not valid JSON"]),
    "bad JSON table": ("TTSHUB_MODELS", "tone", ["not valid JSON"]),
    "table of the wrong thing": ("TTSHUB_MODELS", '{"tone": {"backend": 3}}', ["models.tone.backend", "a string"]),
}


@pytest.mark.parametrize(("name", "value", "expected"), BAD_ENVIRONMENTS.values(), ids=BAD_ENVIRONMENTS)
def test_a_bad_variable_is_refused_with_advice(folder, name, value, expected):
    write(folder, FILE)
    message = problems(environ={name: value})
    assert message.startswith(f"environment variable {name}: ")
    for part in expected:
        assert part in message


def test_variables_of_the_command_line_are_not_settings(folder):
    environ = {"TTSHUB_URL": "http://x", "TTSHUB_API_KEY": "secret", "TTSHUB_DEBUG": "1"}
    assert load_settings(environ=environ) == Settings()


def test_overrides(folder):
    write(folder, '[models."v1.5"]\nbackend = "x"')
    settings = load_settings(
        environ={},
        overrides={
            'models."v1.5".device': "cpu",
            'models."v1.5".concurrency': "2",
            'models."v1.5".options.speed': "1.5",
            "log_level": "debug",
        },
    )
    model = settings.models["v1.5"]
    assert (model.device, model.concurrency, model.options) == ("cpu", 2, {"speed": 1.5})
    assert settings.log_level == "debug"


@pytest.mark.parametrize("key", ["server.prot", "", "a b", "server.", "x = 1\ny", "server.port.deeper"])
def test_bad_override_keys(folder, key):
    write(folder, FILE)
    message = problems(overrides={key: "1"})
    assert "command line" in message or "hub.toml: server.port" in message


@given(st.integers(min_value=-(10**6), max_value=10**6))
def test_a_port_is_accepted_alike_from_everywhere(port):
    layers = [
        {"environ": {"TTSHUB_SERVER_PORT": str(port)}},
        {"environ": {}, "overrides": {"server.port": port}},
        {"environ": {}, "overrides": {"server.port": str(port)}},
    ]
    for layer in layers:
        if 0 <= port <= 65535:
            assert load_settings(**layer).server.port == port
        else:
            with pytest.raises(SettingsError, match=r"server\.port: expected a whole number from 0 to 65535"):
                load_settings(**layer)


@given(st.text(min_size=1, max_size=20))
def test_an_unknown_key_is_refused(key):
    if key in Settings.__struct_fields__:
        return
    with pytest.raises(SettingsError):
        load_settings(environ={}, overrides={json.dumps(key): "1"})


def test_paths_are_relative_to_the_file(folder):
    home = folder / "etc"
    (home / "checkpoints" / "s1").mkdir(parents=True)
    (home / "venv" / "bin").mkdir(parents=True)
    (home / "venv" / "bin" / "python").symlink_to("/usr/bin/env")
    file = write(
        home,
        """
        [models.folder]
        backend = "x"
        path = "checkpoints/s1"
        python = "venv/bin/python"
        [models.hub]
        backend = "x"
        path = "fishaudio/s1-mini"
        python = "python3.12"
        [models.absent]
        backend = "x"
        path = "./checkpoints/none"
        [models.absolute]
        backend = "x"
        path = "/srv/s1"
        """,
    )
    models = load_settings(file, environ={}).models
    assert models["folder"].path == str(home / "checkpoints" / "s1")
    assert models["folder"].python == str(home / "venv" / "bin" / "python")
    assert models["hub"].path == "fishaudio/s1-mini"
    assert models["hub"].python == "python3.12"
    assert models["absent"].path == str(home / "checkpoints" / "none")
    assert models["absolute"].path == "/srv/s1"


SECRET = "correct-horse-battery"


def keys(*entries):
    return "".join(f'[[auth.keys]]\nname = "{name}"\nkey = "{key}"\n' for name, key in entries)


def test_api_keys_from_everywhere(folder):
    (folder / "key.txt").write_text(SECRET + "-3\n")
    write(folder, keys(("a", SECRET + "-1"), ("b", "env:HUB_KEY"), ("c", "file:key.txt")))
    found = load_settings(environ={"HUB_KEY": SECRET + "-2"}).auth.keys
    assert [(key.name, key.key) for key in found] == [(name, f"{SECRET}-{n}") for n, name in enumerate("abc", 1)]
    assert SECRET not in repr(found)
    assert SECRET not in str(ApiKey(name="a", key=SECRET))


BAD_KEYS = {
    "one name twice": ((("a", SECRET), ("a", SECRET + "2")), ["auth.keys", "two keys are named 'a'"]),
    "one key twice": ((("a", SECRET), ("b", SECRET)), ["'a' and 'b' have the same key"]),
    "too short": ((("a", "s3cr3t!"),), ["auth.keys[0].key", "at least 8 characters"]),
    "no such variable": ((("a", "env:NOT_SET_ANYWHERE"),), ["auth.keys[0].key", "NOT_SET_ANYWHERE is not set"]),
    "no such file": ((("a", "file:none.txt"),), ["auth.keys[0].key", "none.txt"]),
    "file too short": ((("a", "file:short.txt"),), ["auth.keys[0].key", "at least 8 characters"]),
}


@pytest.mark.parametrize(("entries", "expected"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_bad_api_keys_are_refused_without_being_shown(folder, entries, expected):
    (folder / "short.txt").write_text("s3cr3t!")
    write(folder, keys(*entries))
    message = problems()
    for part in expected:
        assert part in message
    assert SECRET not in message
    assert "s3cr3t!" not in message


def test_secrets_in_wrong_places_are_not_shown(folder):
    write(folder, f'[models.a]\nbackend = "x"\nenv = "{SECRET}"\noptions = "{SECRET}"\n[auth]\nkeys = "{SECRET}"')
    message = problems(environ={"TTSHUB_MODELS_A_ENV": f'{{"TOKEN": "{SECRET}"'})
    assert SECRET not in message
    message = problems()
    assert "models.a.env" in message
    assert SECRET not in message


def test_memory_is_a_size_and_devices_have_names_of_their_own(folder):
    model = '[models.a]\nbackend = "x"\nmemory = "500 MB"\nidle_unload = 60\n'
    write(folder, f'[devices."cuda:0"]\nmemory = "20 GiB"\n{model}')
    settings = load_settings(environ={}, overrides={'devices."cuda:1".memory': "8GiB"})
    assert {name: device.memory for name, device in settings.devices.items()} == {"cuda:0": "20 GiB", "cuda:1": "8GiB"}
    assert (settings.models["a"].memory, settings.models["a"].idle_unload) == ("500 MB", 60)
    environ = {"TTSHUB_MODELS_A_MEMORY": "much", "TTSHUB_MODELS_A_IDLE_UNLOAD": "0"}
    message = problems(environ=environ)
    assert "models.a.memory: expected a size such as 8 GiB or 500 MB, got 'much'" in message
    assert "models.a.idle_unload: expected a number over 0, got 0" in message
