"""docs/hooks.md: names and signatures are those of the code, and every example works."""

import ast
import asyncio
import importlib
import io
import sys
import tomllib

import msgspec
import pytest
import soundfile
from click.testing import CliRunner

from hub.cli.app import cli
from hub.cli.findings import of_models
from hub.cli.session import Session
from hub.plugin import spec
from hub.plugin.manager import Plugins
from hub.settings import ModelSettings, PluginSettings, Settings
from hub.testing.fixtures import serve_hub
from tests.support import ROOT
from tests.support.pages import blocks, read, sections, tables

PAGE = read("docs/hooks.md")
HOOKS = sections(PAGE)
FAMILIES = tuple(sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir()))


def signatures():
    """Return the signature of each hook in the code, as one line."""
    with open(spec.__file__) as file:
        functions = [node for node in ast.parse(file.read()).body if isinstance(node, ast.FunctionDef)]
    return {
        node.name: f"def {node.name}({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}" for node in functions
    }


def test_the_signatures_are_those_of_the_code():
    documented = {name: blocks(text)[0].text.strip() for name, text in HOOKS.items()}
    assert documented == signatures()


def test_the_first_table_lists_the_hooks():
    assert [row[0].split("`")[1] for row in tables(PAGE)[0][1:]] == list(HOOKS)


def test_every_hook_has_an_example_that_implements_it():
    for name, text in HOOKS.items():
        examples = [block.text for block in blocks(text) if block.title]
        assert any(f"@hookimpl\ndef {name}(" in example for example in examples), name


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """The examples as modules that this process and workers can import."""
    folder = tmp_path_factory.mktemp("examples")
    for block in blocks(PAGE):
        if block.title:
            (folder / block.title).write_text(block.text)
    sys.path.insert(0, str(folder))
    names = [path.stem for path in folder.glob("*.py") if path.stem != "my_synthesizer"]
    yield folder, {name: importlib.import_module(name) for name in names}
    sys.path.remove(str(folder))
    for name in names:
        del sys.modules[name]


@pytest.fixture(scope="module")
def hub(examples):
    """A real server with all examples as plugins."""
    folder, modules = examples
    model = ModelSettings(backend="beep", env={"PYTHONPATH": str(folder)})
    example = tomllib.loads(
        next(block.text for block in blocks(HOOKS["register_compat_options"]) if block.language == "toml")
    )
    settings = msgspec.convert({**example, "models": {"beep": model}}, Settings)
    with serve_hub(settings, modules.values()) as live:
        assert live.hub.plugins.failures == []
        yield live


def test_the_backend_speaks(hub):
    answer = hub.speak("three short words", model="beep")
    audio, rate = soundfile.read(io.BytesIO(answer.content))
    assert (len(audio), rate) == (2400, 8000)


@pytest.mark.parametrize("prefix", ["", "/compat/my_routes"])
def test_the_routes_answer(hub, prefix):
    answer = hub.client.post(f"{prefix}/say", json={"words": "two words"})
    assert answer.headers["x-model"] == "beep"
    assert len(answer.content) > 2 * 1600
    assert hub.client.get(f"{prefix}/model-names").json() == ["beep"]
    assert hub.client.post(f"{prefix}/say", json={"word": "two"}).json()["code"] == "invalid_request"


def test_the_routes_have_their_options(hub):
    assert hub.client.get("/greeting").text == "Hello Hello"


@pytest.mark.parametrize("stream", [False, True])
def test_the_encoder_packs(hub, stream):
    answer = hub.speak("two words", stream=stream, format={"container": "au", "sample_rate": 16000})
    assert answer.headers["content-type"] == "audio/basic"
    audio, rate = soundfile.read(io.BytesIO(answer.content))
    assert (len(audio), rate) == (3200, 16000)
    assert abs(audio).max() == pytest.approx(0.3, abs=0.02)


def test_the_filter_rewrites(hub):
    answer = hub.speak("e.g.", format={"container": "pcm"})  # spoken as two words
    assert len(answer.content) == 2 * 1600


def test_the_command_runs(examples, monkeypatch):
    monkeypatch.setattr(cli, "_asked", False)  # another test of this process may have set it
    monkeypatch.setattr(cli, "_closed", False)

    class Here(Session):
        def plugins(self, settings=None):
            return Plugins.discover(extra=[examples[1]["my_commands"]])

    try:
        done = CliRunner().invoke(cli, ["greet", "World"], obj=Here())
    finally:
        cli.commands.pop("greet", None)
    assert (done.exit_code, done.output) == (0, "Hello, World.\n")


def test_the_check_reports_a_missing_file(examples):
    model = ModelSettings(backend="beeps", path="/nowhere")
    settings = Settings(models={"mine": model}, plugins=PluginSettings(disabled=FAMILIES))
    plugins = Plugins.discover(settings.plugins.disabled, extra=[examples[1]["my_checks"]], settings=settings)
    found = asyncio.run(of_models(settings, plugins))
    assert ("mine", "note", "lexicon.txt is not in its folder: words are read by their spelling") in [
        (one.name, one.state, one.finding) for one in found
    ]


def test_the_observer_gets_reports(hub, examples):
    bill = examples[1]["my_observers"].bill
    while not hub.reports.ended.empty():
        hub.reports.ended.get()
    before = bill.seconds.get("", 0.0)
    hub.speak("four words of speech")
    hub.reports.ended.get(timeout=10)
    assert bill.seconds[""] == pytest.approx(before + 0.4)


def test_the_scene_is_used(hub):
    assert hub.client.get("/v1/scenes/brisk").json()["cast"] == {"Ann": "heart"}
    answer = hub.speak("two words", model="beep", scene="brisk")  # its speed needs a model with that capability
    assert (answer.status_code, answer.json()["code"]) == (400, "unsupported_capability")


def test_the_task_is_done(hub):
    assert hub.client.post("/v1/tasks/count", json={"to": 0}).json()["code"] == "invalid_request"
    assert hub.client.post("/v1/tasks/count", json={"to": 3, "id": "three"}).status_code == 201
    assert '"result":{"counted":3}' in hub.client.get("/v1/tasks/three/events").text


def test_the_app_is_configured(hub):
    assert hub.client.get("/v1/health").headers["x-machine"] == "north"
