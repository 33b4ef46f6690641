"""The table of docs/clients.md: what each client does with the hub, and in which version it was tried."""

import ast
import importlib.metadata
import re
from pathlib import Path

FOLDER = Path(__file__).parent
PAGE = FOLDER.parents[1] / "docs" / "clients.md"

PACKAGES = {
    "test_openai_package": "openai",
    "test_elevenlabs": "elevenlabs",
    "test_livekit": "livekit-plugins-openai",
    "test_pipecat": "pipecat-ai",
    "test_wyoming": "wyoming",
    "test_fish_sdk": "fish-audio-sdk",
    "test_fish_livekit": "livekit-plugins-fishaudio",
}
"""Test file, here or of a plugin -> the package it is about."""

HEADER = ["Client", "Version", "What was tried", "Result"]
_TABLE = re.compile(r"(?<=<!-- table -->\n\n).*?(?=\n<!-- end of table -->)", re.S)


def words(test):
    """The name of a test function, to be read."""
    return test.removeprefix("test_").replace("_", " ")


def file_of(module):
    """The test file of this name, here or among a plugin's tests."""
    own = FOLDER / f"{module}.py"
    return own if own.exists() else next(PAGE.parents[1].glob(f"plugins/*/tests/{module}.py"))


def tests_of(module):
    """The test functions of a file, in order, whether its package is installed or not."""
    tree = ast.parse(file_of(module).read_text())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [node.name for node in functions if node.name.startswith("test_")]


def expected():
    """(package, what was tried) of every row."""
    return [(package, words(test)) for module, package in PACKAGES.items() for test in tests_of(module)]


def written():
    """The rows of the page's table, without the header."""
    lines = _TABLE.search(PAGE.read_text(encoding="utf-8"))[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


class Recorder:
    """A pytest plugin that notes how each test ended, and writes the table when all of them ran."""

    def __init__(self):
        self.outcomes = {}

    def pytest_runtest_logreport(self, report):
        module, _, test = report.nodeid.rpartition("/")[2].partition(".py::")
        if module in PACKAGES:
            self.outcomes.setdefault((PACKAGES[module], words(test.partition("[")[0])), []).append(report.outcome)

    def pytest_sessionfinish(self):
        if missing := [row for row in expected() if row not in self.outcomes]:
            raise SystemExit(f"the table is not written: these did not run: {missing}")
        rows = [HEADER, ["---"] * len(HEADER)]
        for package, what in expected():
            passed = set(self.outcomes[package, what]) == {"passed"}
            rows.append([package, importlib.metadata.version(package), what, "passed" if passed else "failed"])
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
        PAGE.write_text(_TABLE.sub(lambda _: table, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
