"""Imports of every kind go one way: at the top of a file, inside a function, or for type checkers only."""

import ast
import sys
from collections import defaultdict
from functools import cache

import pytest

from tests.support import ROOT

HUB = ROOT / "hub"
PLUGINS = ROOT / "plugins"

LAYERS = {
    "version": set(),
    "contract": {"version"},
    "settings": {"contract"},
    "text": {"contract"},
    "audio": {"contract"},
    "nn": {"contract"},
    "verify": set(),
    "plugin": {"contract", "settings", "audio", "text"},
    "engine": {"contract", "settings"},
    "service.disk": {"contract", "settings"},
    "service.models": {"contract", "settings", "plugin", "engine", "service.disk"},
    "service.checkpoints": {"contract", "settings", "service.disk"},
    "service.library": {"contract", "settings", "audio", "text", "plugin", "engine", "service.disk", "service.models"},
    "service.speech": {
        *("contract", "settings", "audio", "text", "plugin", "engine"),
        *("service.disk", "service.models", "service.library"),
    },
    "service.tasks": {
        *("contract", "settings", "audio", "text", "plugin"),
        *("service.disk", "service.models", "service.library", "service.speech"),
    },
    "service.hub": {
        *("contract", "settings", "audio", "text", "plugin"),
        *("service.disk", "service.models", "service.library", "service.speech", "service.tasks"),
    },
    "api": {"contract", "settings", "text", "audio", "plugin", "engine", "service"},
    "wyoming": {"contract", "text"},
    "builtin": {"contract", "settings", "text", "audio", "plugin", "service", "api", "wyoming"},
    "cli": {"contract", "settings", "text", "audio", "verify", "plugin", "engine", "service", "api"},
    "testing": {"contract", "settings", "audio", "text", "nn", "plugin", "engine", "service", "api", "builtin"},
}
"""Layer -> the layers that it may import, besides itself and `version`; `service` stands for each of its rooms."""

FILES_OF = {"settings_load": "settings", "settings_check": "settings", "__main__": "cli", "__init__": "package"}

COMMANDS = {"cli"}
"""Layers that a plugin's `commands` may import as well: the command line imports them, not the other way round."""

WORKER_SIDE = {"torch", "torchaudio", "transformers", "onnxruntime", "hibari"}
ALLOWED_THIRD_PARTY = {
    "contract": {"msgspec"},
    "engine": {"msgspec"},
    "settings": {"msgspec"},
    "plugin": {"msgspec", "pluggy", "click", "litestar"},
    "audio": {"msgspec", "numpy", "soundfile", "soxr", "av"},
    "nn": {"msgspec", "numpy", "safetensors", "soundfile", "soxr", "torch", "torchaudio"},
    "text": {"msgspec", "markdown_it"},
    "verify": {"msgspec", "numpy", "soxr", "faster_whisper"},
    "service.disk": {"msgspec"},
    "service.models": {"msgspec", "prometheus_client"},
    "service.checkpoints": {"httpx", "huggingface_hub", "msgspec"},
    "service.library": {"httpx", "msgspec", "numpy"},
    "service.speech": {"msgspec", "numpy"},
    "service.tasks": {"msgspec", "numpy", "sqlalchemy"},
    "service.hub": {"msgspec"},
}

FOR_PLUGINS = {"contract", "audio", "text", "nn", "settings", "plugin", "service", "api", "builtin", "cli", "version"}
"""Layers of the hub that a plugin may import."""


def files_of(folder):
    return sorted(path for path in folder.rglob("*.py") if "build" not in path.parts)


FILES = files_of(HUB)
PLUGIN_FILES = sorted(PLUGINS.glob("*/hub_*/**/*.py"))


def module_of(path):
    """Return the dotted name of a file."""
    root = ROOT if path.is_relative_to(HUB) else PLUGINS / path.relative_to(PLUGINS).parts[0]
    parts = list(path.relative_to(root).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module):
    """Return the layer of a module of the hub: `service.speech` for `hub.service.speech.chain`."""
    parts = module.split(".")[1:] or ["__init__"]
    if parts[0] == "service":
        return ".".join(parts[:2])
    return FILES_OF.get(parts[0], parts[0])


def may_import(layer, other):
    allowed = LAYERS[layer] | {layer, "version"}
    return other in allowed or other.partition(".")[0] in allowed


@cache
def imports_of(path):
    """Return the modules that a file imports, at any depth, each with the name taken from it ("" for the module)."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found += [(node.module, alias.name) for alias in node.names]
    return found


@cache
def arrows(folder):
    """Return the modules of the same tree that each module imports; `from a import b` means a.b if that is a module."""
    files = {module_of(path): path for path in (FILES if folder == HUB else sorted(folder.rglob("*.py")))}
    found = defaultdict(set)
    for module, path in files.items():
        for name, taken in imports_of(path):
            target = f"{name}.{taken}" if f"{name}.{taken}" in files else name
            if target in files and target != module:
                found[module].add(target)
    return found


def circles(graph):
    """Return the groups of modules that import each other, directly or not (Tarjan's algorithm)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph.get(node, ()):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in list(graph):
        if node not in index:
            visit(node)
    return found


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_imports_only_from_the_layers_below(path):
    layer = layer_of(module_of(path))
    if layer in ("package", "service"):
        return
    allowed = COMMANDS if path.stem == "commands" else set()
    for module, taken in imports_of(path):
        top = module.split(".")[0]
        if module == "hub":
            other = layer_of(f"hub.{taken}") if (HUB / taken).is_dir() or (HUB / f"{taken}.py").exists() else layer
            assert may_import(layer, other), f"{layer} imports {module}.{taken}"
        elif top == "hub":
            deep = f"{module}.{taken}" if module == "hub.service" else module
            other = layer_of(deep)
            assert may_import(layer, other) or other in allowed, f"{layer} imports {deep}"
        elif layer in ALLOWED_THIRD_PARTY:
            known = ALLOWED_THIRD_PARTY[layer] | sys.stdlib_module_names
            assert top in known, f"{layer} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_worker_side_packages_are_imported_only_by_synthesizers(path):
    heavy = {module.split(".")[0] for module, _ in imports_of(path)} & WORKER_SIDE
    in_workers = layer_of(module_of(path)) in {"builtin", "nn"} or path.is_relative_to(HUB / "testing" / "pretend_gpu")
    assert not heavy or in_workers, f"imports {heavy}"


def test_only_the_plugin_layer_knows_pluggy():
    users = {
        layer_of(module_of(path)) for path in FILES if any(m.split(".")[0] == "pluggy" for m, _ in imports_of(path))
    }
    assert users == {"plugin"}


def test_no_import_of_any_kind_makes_a_circle_in_the_hub():
    assert circles(arrows(HUB)) == []


@pytest.mark.parametrize("package", sorted(PLUGINS.glob("*/hub_*")), ids=lambda path: path.name)
def test_no_import_of_any_kind_makes_a_circle_in_a_family(package):
    assert circles(arrows(package)) == []


def test_a_circle_would_be_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == [["b", "c"]]


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=module_of)
def test_a_plugin_imports_the_hub_and_no_other_plugin(path):
    own = path.relative_to(PLUGINS).parts[1]
    for module, _ in imports_of(path):
        parts = module.split(".")
        assert not parts[0].startswith("hub_") or parts[0] == own, f"imports {module}"
        if parts[0] == "hub" and len(parts) > 1:
            layer = layer_of(module)
            assert layer.partition(".")[0] in FOR_PLUGINS, f"imports {module}"
            assert layer != "cli" or path.stem == "commands" or "commands" in path.parts, (
                f"{path.name} imports {module}"
            )


def test_the_hub_imports_no_plugin():
    users = [path for path in FILES if any(module.startswith("hub_") for module, _ in imports_of(path))]
    assert users == []
