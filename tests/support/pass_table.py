"""The table of docs/clients.md: what was tried with each client, and in which version."""

import ast
import importlib.metadata
import re

from tests.support import ROOT

PAGE = ROOT / "docs" / "clients.md"

PACKAGES = {
    "tests/clients/test_openai_package.py": "openai",
    "tests/clients/test_elevenlabs.py": "elevenlabs",
    "tests/clients/test_livekit.py": "livekit-plugins-openai",
    "tests/clients/test_pipecat.py": "pipecat-ai",
    "tests/clients/test_wyoming.py": "wyoming",
    "plugins/fish_speech/tests/test_sdk.py": "fish-audio-sdk",
    "plugins/fish_speech/tests/test_livekit.py": "livekit-plugins-fishaudio",
}
"""Test file -> the client package that it tests."""

HEADER = ["Client", "Version", "What was tried", "Result"]
_TABLE = re.compile(r"(?<=<!-- table -->\n\n).*?(?=\n<!-- end of table -->)", re.S)


def words(test):
    """Return the name of a test function as words."""
    return test.removeprefix("test_").replace("_", " ")


def tests_of(file):
    """Return the test functions of a file, in order, whether its package is installed or not."""
    tree = ast.parse((ROOT / file).read_text())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [node.name for node in functions if node.name.startswith("test_")]


def expected():
    """Return (package, what was tried) for every row."""
    return [(package, words(test)) for file, package in PACKAGES.items() for test in tests_of(file)]


def written():
    """Return the rows of the page's table, without the header."""
    lines = _TABLE.search(PAGE.read_text(encoding="utf-8"))[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


class Recorder:
    """A pytest plugin that records how each test ended, and writes the table if all of them ran."""

    def __init__(self):
        self.outcomes = {}

    def pytest_runtest_logreport(self, report):
        file, _, test = report.nodeid.partition("::")
        if file in PACKAGES:
            self.outcomes.setdefault((PACKAGES[file], words(test.partition("[")[0])), []).append(report.outcome)

    def pytest_sessionfinish(self):
        if missing := [row for row in expected() if row not in self.outcomes]:
            raise SystemExit(f"the table is not written: these did not run: {missing}")
        rows = [HEADER, ["---"] * len(HEADER)]
        for package, what in expected():
            passed = set(self.outcomes[package, what]) == {"passed"}
            rows.append([package, importlib.metadata.version(package), what, "passed" if passed else "failed"])
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
        PAGE.write_text(_TABLE.sub(lambda _: table, PAGE.read_text(encoding="utf-8")), encoding="utf-8")
