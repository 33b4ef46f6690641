"""docs/releasing.md: one version for the hub and its families, and ranges that do not lock them together."""

import tomllib
from pathlib import Path

import pytest

from hub.version import __version__

ROOT = Path(__file__).parents[2]
PLUGINS = sorted(ROOT.glob("plugins/*/pyproject.toml"))


def project(path):
    return tomllib.loads(path.read_text())["project"]


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: path.parent.name)
def test_a_family_has_the_hubs_version_and_does_not_lock_to_it(path):
    facts = project(path)
    assert facts["version"] == __version__
    (needed,) = [one for one in facts["dependencies"] if one.startswith("tts-hub")]
    assert needed.endswith(",<1")


def test_the_hub_takes_its_version_from_its_code():
    assert "version" in project(ROOT / "pyproject.toml")["dynamic"]
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()
