"""Every family is on one plan: the same concept has the same file name (docs/anatomy-of-a-family.md)."""

import ast

import pytest

from tests.support import ROOT

FAMILIES = sorted(path for path in ROOT.glob("plugins/*/hub_*") if path.is_dir())
PAGE = ROOT / "docs" / "anatomy-of-a-family.md"

PLAN = {
    "capabilities": "BACKEND, CAPABILITIES",
    "options": "",
    "releases": "CHECKPOINTS",
    "checkpoint": "",
    "machinery": "Machinery",
    "voices": "",
    "text": "",
    "tokenizer": "",
    "session": "Session",
    "speaking": "Speaking",
    "synthesizer": "",
    "model": "",
    "routes": "",
    "commands": "",
}
"""Module or package -> what it defines in every family."""


def source_of(family, name):
    file, package = family / f"{name}.py", family / name / "__init__.py"
    assert file.is_file() != package.is_file(), f"{family.name} has no {name}, or two"
    return ast.parse((file if file.is_file() else package).read_text())


def defined(tree):
    """The names that a module's own statements bind, imports included."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


@pytest.mark.parametrize("name", PLAN)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda path: path.name)
def test_a_family_has_the_files_of_the_plan(family, name):
    tree = source_of(family, name)
    assert defined(tree) >= set(PLAN[name].replace(",", "").split())


@pytest.mark.parametrize("family", FAMILIES, ids=lambda path: path.name)
def test_a_familys_first_module_has_hooks_and_nothing_else(family):
    tree = ast.parse((family / "__init__.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            assert [decorator.id for decorator in node.decorator_list] == ["hookimpl"], node.name
        else:
            assert isinstance(node, ast.Import | ast.ImportFrom | ast.Expr | ast.If), ast.unparse(node)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda path: path.name)
def test_a_family_has_an_adapter_for_parity_and_support_for_its_tests(family):
    tests = family.parent / "tests"
    assert (tests / "parity.py").is_file()
    assert "tiny_model" in defined(ast.parse((tests / "support" / "tiny.py").read_text()))


@pytest.mark.parametrize("name", PLAN)
def test_the_page_names_each_file_of_the_plan(name):
    assert f"`{name}" in PAGE.read_text()
