"""The table of docs/clients.md is the one that these tests write."""

import re
import tomllib

from tests.support import ROOT
from tests.support.pass_table import PACKAGES, PAGE, expected, written


def test_every_client_has_its_tests():
    there = {str(path.relative_to(ROOT)) for path in ROOT.glob("tests/clients/test_*.py")}
    assert there - {"tests/clients/test_table.py"} <= set(PACKAGES)


def test_the_table_has_every_test_and_all_passed():
    rows = written()
    assert [(client, what) for client, _, what, _ in rows] == expected(), (
        "pytest tests/clients plugins/*/tests --write-table"
    )
    assert {result for *_, result in rows} == {"passed"}


def test_a_client_has_one_version():
    versions = {client: version for client, version, _, _ in written()}
    assert {(client, version) for client, version, _, _ in written()} == set(versions.items())
    assert all(re.fullmatch(r"\d+(\.\w+)+", version) for version in versions.values())


def test_every_client_can_be_installed_with_an_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {re.match(r"[\w-]+", one)[0] for listed in project["optional-dependencies"].values() for one in listed}
    assert set(PACKAGES.values()) <= extras


def test_the_page_says_how_each_is_set_up():
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{package}`" in text for package in PACKAGES.values())
