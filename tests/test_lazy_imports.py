"""Modules that must be light import nothing heavy, checked in fresh interpreters."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ["torch", "torchaudio", "transformers", "onnxruntime", "hibari"]
FAMILIES = sorted(path.name for path in (Path(__file__).parent.parent / "plugins").glob("*/hub_*") if path.is_dir())
HUB_SIDE = ("capabilities", "checks", "commands", "options", "releases", "routes", "tasks")
"""Modules of a plugin that the hub's own process imports, if the plugin has them."""


def modules_after(code):
    program = f"{code}\nimport sys, json\nprint(json.dumps(sorted(m.split('.')[0] for m in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.with_families
@pytest.mark.parametrize("name", [point.name for point in importlib.metadata.entry_points(group="hub.plugins")])
def test_loading_a_plugin_imports_nothing_heavy(name):
    loaded = modules_after(
        "import importlib.metadata as m\n"
        f"[point.load() for point in m.entry_points(group='hub.plugins') if point.name == {name!r}]"
    )
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("package", FAMILIES)
def test_the_hub_side_of_a_family_is_light_and_imports_no_other_family(package):
    loaded = modules_after(
        "import importlib, importlib.util\n"
        f"importlib.import_module({package!r})\n"
        f"names = [{package!r} + '.' + name for name in {HUB_SIDE!r}]\n"
        "[importlib.import_module(name) for name in names if importlib.util.find_spec(name)]"
    )
    assert package in loaded
    assert not loaded & set(HEAVY)
    assert not {name for name in loaded if name.startswith("hub_")} - {package}


@pytest.mark.with_families
def test_building_a_hub_with_all_plugins_imports_nothing_heavy():
    loaded = modules_after(
        "from hub.service.hub import Hub\nfrom hub.settings import Settings\n"
        "hub = Hub.build(Settings())\nassert 'hibari' in hub.plugins.backends, hub.plugins.failures"
    )
    assert not loaded & {*HEAVY, "tokenizers", "tiktoken", "safetensors"}
    assert "sqlalchemy" not in loaded, "a hub without tasks opens no database"


def test_a_worker_needs_only_msgspec():
    loaded = modules_after("import hub.engine.worker")
    assert not loaded & {"litestar", "pluggy", "numpy", "soundfile", "av", "click", "rich", "httpx", "pydantic"}


def test_the_contract_needs_only_msgspec():
    third_party = modules_after("import hub.contract") - modules_after("import msgspec") - {"hub"}
    assert third_party <= set(sys.stdlib_module_names)


def test_the_command_line_starts_light():
    loaded = modules_after("import hub.cli")
    assert not loaded & {"litestar", "uvicorn", "numpy", "av", "soundfile", *HEAVY}


def test_the_measures_need_no_listener():
    loaded = modules_after("import hub.cli.takes, hub.verify.judge, hub.verify.listener")
    assert not loaded & {"faster_whisper", "ctranslate2", "litestar", "pluggy", *HEAVY}


LIGHT_ROOMS = {"tests/text": {"litestar", "torch", "av"}, "tests/plugin": {"torch", "av"}}


@pytest.mark.parametrize("room", LIGHT_ROOMS)
def test_the_tests_of_a_light_room_start_light(room):
    """The loop of a developer in that room: with every conftest, test file and pytest plugin that it loads."""
    loaded = modules_after(
        "import contextlib, io, pytest\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    code = pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider', {room!r}])\n"
        "assert code == 0, code"
    )
    assert "pytest" in loaded
    assert not loaded & LIGHT_ROOMS[room]
