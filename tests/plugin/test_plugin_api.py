"""docs/plugin-api.md lists what a plugin may import from the hub; families, dialects and tutorial import no more."""

import ast
import importlib
import re

import pytest

from tests.support import ROOT

PAGE = (ROOT / "docs" / "plugin-api.md").read_text()
ROW = re.compile(r"^\| `(hub[\w.]*)` \| (.+?) \| .+ \|$", re.M)
LISTED = dict(ROW.findall(PAGE))
TUTORIAL = ROOT / "docs" / "writing-a-backend.md"

FAMILIES = sorted(path for path in ROOT.glob("plugins/*/hub_*") if path.is_dir())
DIALECTS = [ROOT / "hub" / "builtin" / name for name in ("elevenlabs", "openai")]

OF_THE_HUB = {
    "hub.api.routes.models": "GET /v1/models/{model} is the hub's own route and OpenAI's, with one object",
    "hub.service.library.consents": "consents are kept as the library keeps voices",
}
"""The further imports of the built-in dialects, and the reason for each."""


def allowed(module):
    """Return the names that the page lists for `module`."""
    entry = LISTED[module]
    if entry == "every public name":
        found = importlib.import_module(module)
        return set(getattr(found, "__all__", None) or (name for name in vars(found) if not name.startswith("_")))
    return set(re.findall(r"`(\w+)`", entry))


def imports_of(source):
    """Yield (module, name) of every import from the hub in `source`; for `import hub.x` the name is None."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "hub":
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names if alias.name.split(".")[0] == "hub")


def problems(source, own=()):
    """Yield the imports of `source` that the page does not list."""
    for module, name in imports_of(source):
        inner = f"{module}.{name}"
        if module.startswith(tuple(own)) or inner in LISTED:
            continue
        if module not in LISTED or (name is not None and name not in allowed(module)):
            yield inner if name else module


@pytest.mark.parametrize("module", LISTED)
def test_what_is_listed_is_there(module):
    found = importlib.import_module(module)
    assert [name for name in sorted(allowed(module)) if not hasattr(found, name)] == []


@pytest.mark.parametrize("folder", FAMILIES, ids=lambda path: path.name)
def test_a_family_imports_what_is_listed_and_nothing_else(folder):
    found = {path.name: list(problems(path.read_text())) for path in folder.rglob("*.py")}
    assert {name: imports for name, imports in found.items() if imports} == {}


@pytest.mark.parametrize("folder", DIALECTS, ids=lambda path: path.name)
def test_a_dialect_of_the_hub_could_be_anyones_plugin(folder):
    own = (f"hub.builtin.{folder.name}", *OF_THE_HUB)
    found = {path.name: list(problems(path.read_text(), own)) for path in folder.rglob("*.py")}
    assert {name: imports for name, imports in found.items() if imports} == {}


def test_the_tutorial_imports_what_is_listed_and_nothing_else():
    blocks = re.findall(r"^```python title=[^\n]*\n(.*?)^```", TUTORIAL.read_text(), re.M | re.S)
    assert len(blocks) >= 5
    assert [problem for block in blocks for problem in problems(block)] == []


def test_every_module_is_listed_once():
    modules = [module for module, _ in ROW.findall(PAGE)]
    assert len(modules) == len(set(modules)) > 30
