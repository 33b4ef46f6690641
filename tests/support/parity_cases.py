"""Where the parity cases and the plugins' adapters are. CONTRIBUTING.md says how both are laid out."""

import ast
import importlib.util
import json
import os
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VARIABLE = "HUB_PARITY_CASES"
PLUGINS_VARIABLE = "HUB_PARITY_PLUGINS"
OWN_CASES = ROOT / "tests" / "parity" / "cases"
SHARED_CASES = ROOT.parent / "shared" / "parity"


@dataclass(frozen=True)
class Case:
    """One folder with a `case.json`; `name` is `family/case`, with `+2` where another place has the same."""

    folder: Path
    name: str
    about: dict = field(hash=False, compare=False)

    @property
    def family(self):
        return self.about["family"]


@dataclass(frozen=True)
class Found:
    """The cases to run, the adapter of each family, and a line about them."""

    cases: tuple
    adapters: dict
    summary: str


@cache
def found():
    """All cases of this run whose family has an adapter."""
    adapters = find_adapters(Path(os.environ.get(PLUGINS_VARIABLE) or ROOT / "plugins"))
    named = os.environ.get(VARIABLE)
    places = [Path(place) for place in named.split(os.pathsep) if place] if named else [OWN_CASES, SHARED_CASES]
    folders = []
    for place in places:
        here = case_folders(place)
        if named and not here:
            raise pytest.UsageError(f"{VARIABLE}: no case.json in {place}, nor in its folders or theirs")
        folders += [folder for folder in here if folder not in folders]
    cases, without = [], set()
    for folder in folders:
        about = json.loads((folder / "case.json").read_text())
        if about["family"] not in adapters:
            without.add(about["family"])
            continue
        name = f"{about['family']}/{folder.name}"
        twins = sum(case.name.split("+")[0] == name for case in cases)
        cases.append(Case(folder, f"{name}+{twins + 1}" if twins else name, about))
    return Found(tuple(cases), adapters, summary_of(cases, without, named))


def summary_of(cases, without, named):
    line = f"parity: {len(cases)} cases"
    if named:
        line += f" from {VARIABLE}"
    elif SHARED_CASES.is_dir():
        line += " of the repository and of ../shared/parity"
    else:
        line += f" of the repository, no external ones ({VARIABLE} is not set, ../shared/parity is not there)"
    if without:
        line += f"; no adapter for {', '.join(sorted(without))}"
    return line


def case_folders(place):
    """The folders with a `case.json`: `place` itself, a folder of cases, or a folder of families."""
    found_here = [path.parent for pattern in ("", "*/", "*/*/") for path in place.glob(f"{pattern}case.json")]
    return sorted(folder.resolve() for folder in found_here)


def find_adapters(plugins):
    """Family -> the `tests/parity.py` of its plugin. Read, not imported: collecting tests imports no model."""
    adapters = {}
    for path in sorted(plugins.glob("*/tests/parity.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and any(getattr(name, "id", "") == "FAMILY" for name in node.targets):
                adapters[ast.literal_eval(node.value)] = path
    return adapters


@cache
def import_adapter(path):
    """The adapter as a module of a name of its own: every plugin calls its file the same."""
    beside = str(path.parent)
    if beside not in sys.path:
        sys.path.insert(0, beside)  # its helper modules, as pytest has them
    spec = importlib.util.spec_from_file_location(f"parity_of_{path.parent.parent.name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module
