"""The contract describes its implementers: mypy assigns each synthesizer to the protocols that it declares."""

import ast
import re
import subprocess
import sys

import pytest

from hub.plugin.manager import Plugins
from hub.testing import tone
from tests.support import ROOT

FILE = ROOT / "tests" / "typed" / "synthesizers.py"
PROTOCOLS = {"live_text": "Live", "mixing": "Mixer", "codec": "Codec", "conversion": "Converter"}
"""Capability -> the protocol of a synthesizer that declares it."""

ASSIGNED = """
from hub.contract import Synthesizer
from hub_formant.synthesizer import FormantSynthesizer

formant: Synthesizer = FormantSynthesizer()
"""


def assignments():
    """(protocol, class) of each annotated assignment in the file."""
    for node in ast.parse(FILE.read_text()).body:
        if isinstance(node, ast.AnnAssign):
            assert isinstance(node.annotation, ast.Name)
            assert isinstance(node.value, ast.Call)
            assert isinstance(node.value.func, ast.Name)
            yield node.annotation.id, node.value.func.id


@pytest.mark.with_families
def test_every_backend_is_assigned_to_what_it_declares():
    given = set(assignments())
    backends = Plugins.discover(extra=[tone]).backends
    assert len(backends) >= 6
    for spec in backends.values():
        declared = ["Synthesizer", *(name for field, name in PROTOCOLS.items() if getattr(spec.capabilities, field))]
        missing = {(protocol, spec.synthesizer.partition(":")[2]) for protocol in declared} - given
        assert not missing, spec.name


def test_nothing_in_the_file_persuades_the_checker():
    assert not re.search(r"cast\(|: Any|type: ignore", FILE.read_text())


def test_the_tutorials_synthesizer_is_what_the_contract_says(tmp_path):
    page = (ROOT / "docs" / "writing-a-backend.md").read_text()
    for name, source in re.findall(r'^```python title="(hub_formant/\w+\.py)"\n(.*?)^```', page, re.M | re.S):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(source)
    (tmp_path / "assigned.py").write_text(ASSIGNED)
    options = ["--strict", "--allow-untyped-defs", "--allow-untyped-calls", "--follow-imports=silent"]
    command = [sys.executable, "-m", "mypy", *options, "--cache-dir", str(tmp_path / "cache"), "assigned.py"]
    environ = {"MYPYPATH": str(ROOT), "PATH": ""}
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environ)
    assert checked.returncode == 0, checked.stdout + checked.stderr
