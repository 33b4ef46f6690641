"""Finding the parity cases and the plugins' adapters. CONTRIBUTING.md describes their layout."""

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
    """A folder with a `case.json`; `name` is `family/case`, with `+2` if another path has a case of the same name."""

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
    """Return all cases of this run whose family has an adapter."""
    adapters = find_adapters(Path(os.environ.get(PLUGINS_VARIABLE) or ROOT / "plugins"))
    named = os.environ.get(VARIABLE)
    paths = [Path(path) for path in named.split(os.pathsep) if path] if named else [OWN_CASES, SHARED_CASES]
    folders = []
    for path in paths:
        here = case_folders(path)
        if named and not here:
            raise pytest.UsageError(f"{VARIABLE}: no case.json in {path}, nor up to two levels below it")
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


def case_folders(path):
    """Return the folders with a `case.json`; `path` is a case, a folder of cases, or a folder of families."""
    found_here = [file.parent for pattern in ("", "*/", "*/*/") for file in path.glob(f"{pattern}case.json")]
    return sorted(folder.resolve() for folder in found_here)


def find_adapters(plugins):
    """Return each family's `tests/parity.py`, read and not imported: collecting tests must not import models."""
    adapters = {}
    for path in sorted(plugins.glob("*/tests/parity.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and any(getattr(name, "id", "") == "FAMILY" for name in node.targets):
                adapters[ast.literal_eval(node.value)] = path
    return adapters


@cache
def import_adapter(path):
    """Import an adapter under a unique module name, because every plugin's file has the same name."""
    beside = str(path.parent)
    if beside not in sys.path:
        sys.path.insert(0, beside)  # for its helper modules, as under pytest
    spec = importlib.util.spec_from_file_location(f"parity_of_{path.parent.parent.name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up their module there
    spec.loader.exec_module(module)
    return module
