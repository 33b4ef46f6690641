"""Files and functions that one can read in one sitting."""

import ast

import pytest

from tests.support import ROOT

LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 400, 50
FILES = sorted([*ROOT.glob("hub/**/*.py"), *ROOT.glob("plugins/*/hub_*/**/*.py")])


@pytest.mark.parametrize("folder", sorted({path.relative_to(ROOT).parts[:2] for path in FILES}), ids="/".join)
def test_files_and_functions_are_short(folder):
    long = []
    for path in FILES:
        if path.relative_to(ROOT).parts[:2] != folder:
            continue
        source = path.read_text()
        if (lines := len(source.splitlines())) > LINES_OF_A_FILE:
            long.append(f"{path.relative_to(ROOT)}: {lines} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > LINES_OF_A_FUNCTION:
                    long.append(f"{path.relative_to(ROOT)}: {node.name} has {lines} lines")
    assert long == []
