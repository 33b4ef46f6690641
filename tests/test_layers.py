"""Imports go one way, and heavy packages stay where they belong."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "hub"

LAYERS = {
    "version": set(),
    "contract": set(),
    "settings": set(),
    "text": {"contract"},
    "audio": {"contract"},
    "nn": {"contract"},
    "plugin": {"contract", "audio", "settings"},
    "engine": {"contract", "settings"},
    "service": {"contract", "settings", "text", "audio", "plugin", "engine"},
    "api": {"contract", "settings", "text", "audio", "plugin", "engine", "service"},
    "wyoming": {"contract", "text"},
    "cli": {"contract", "settings", "text", "audio", "plugin", "engine", "service", "api", "wyoming"},
    "builtin": {"contract", "text", "plugin", "settings"},
    "testing": {"contract", "settings", "audio", "text", "plugin", "engine", "service", "api", "builtin"},
}
"""Layer -> the layers that it may import, besides itself."""

FILES_OF = {"settings_load": "settings", "settings_check": "settings", "__main__": "cli"}

WORKER_SIDE = {"torch", "torchaudio", "transformers", "onnxruntime", "hibari"}
ALLOWED_THIRD_PARTY = {
    "contract": {"msgspec"},
    "engine": {"msgspec"},
    "settings": {"msgspec"},
    "plugin": {"msgspec", "pluggy", "click", "litestar"},
    "audio": {"msgspec", "numpy", "soundfile", "soxr", "av"},
    "nn": {"numpy", "safetensors", "torch", "torchaudio"},
    "text": {"msgspec", "markdown_it"},
    "service": {"httpx", "huggingface_hub", "msgspec", "numpy", "prometheus_client", "sqlalchemy"},
}


def layer_of(path):
    top = path.relative_to(ROOT).parts[0].removesuffix(".py")
    return FILES_OF.get(top, top)


def imports_of(path):
    """(module, only for type checking) of each import, at any depth of the file."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in typing_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module, id(node) in typing_only


FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_from_the_layers_below(path):
    layer = layer_of(path)
    for module, typing_only in imports_of(path):
        parts = module.split(".")
        if parts[0] == "hub" and len(parts) > 1 and not typing_only:
            other = FILES_OF.get(parts[1], parts[1])
            assert other in {layer, "version"} | LAYERS[layer], f"{layer} imports {module}"
        elif layer in ALLOWED_THIRD_PARTY and not typing_only:
            top = parts[0]
            if top not in ALLOWED_THIRD_PARTY[layer] | {"hub"}:
                assert top in sys.stdlib_module_names, f"{layer} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_worker_side_packages_are_imported_only_by_synthesizers(path):
    heavy = {module.split(".")[0] for module, _ in imports_of(path)} & WORKER_SIDE
    assert not heavy or layer_of(path) in {"builtin", "nn"}, f"imports {heavy}"


def test_only_the_plugin_layer_knows_pluggy():
    users = {layer_of(path) for path in FILES if any(m.split(".")[0] == "pluggy" for m, _ in imports_of(path))}
    assert users == {"plugin"}


PLUGINS = ROOT.parent / "plugins"
PLUGIN_FILES = sorted(PLUGINS.glob("*/hub_*/**/*.py"))
FOR_PLUGINS = {"contract", "audio", "text", "nn", "settings", "plugin", "service", "api", "cli", "version"}
"""Layers of the hub that a plugin may import."""


def plugin_id(path):
    return str(path.relative_to(PLUGINS))


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=plugin_id)
def test_a_plugin_imports_the_hub_and_no_other_plugin(path):
    own = path.relative_to(PLUGINS).parts[1]
    for module, _ in imports_of(path):
        parts = module.split(".")
        assert not parts[0].startswith("hub_") or parts[0] == own, f"imports {module}"
        if parts[0] == "hub" and len(parts) > 1:
            layer = FILES_OF.get(parts[1], parts[1])
            assert layer in FOR_PLUGINS, f"imports {module}"
            assert layer != "cli" or path.stem == "commands" or "commands" in path.parts, (
                f"{path.name} imports {module}"
            )


def test_the_hub_imports_no_plugin():
    users = [path for path in FILES if any(module.startswith("hub_") for module, _ in imports_of(path))]
    assert users == []
