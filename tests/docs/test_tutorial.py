"""The tutorial, followed word for word in a fresh virtual environment."""

import sys
import sysconfig
import venv

import pytest

from tests.support.pages import Shell

PAGE = "docs/writing-a-backend.md"


def make_environment(folder):
    """Make a virtual environment that also sees the packages of this one, including the hub."""
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    here = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "this_environment.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in here))
    python = folder / "bin" / "python"
    commands = {
        "ttshub": f'exec {python} -m hub "$@"',
        "pytest": f'exec {python} -m pytest -p no:cacheprovider "$@"',
        "pip": f'PIP_PREFIX={folder} exec {sys.executable} -m pip "$@"',
    }
    for name, line in commands.items():
        script = folder / "bin" / name
        script.write_text(f"#!/bin/sh\n{line}\n")
        script.chmod(0o755)
    return python


@pytest.fixture
def tutorial(tmp_path):
    """A shell in the reader's folder after the page's first commands, which need a package index."""
    folder = tmp_path / "tts-hub-formant"
    folder.mkdir()
    python = make_environment(folder / ".venv")
    pip = {"PIP_NO_DEPS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    shell = Shell(folder, python, pip)
    yield shell
    shell.close()


def test_the_tutorial_does_what_it_says(tutorial):
    apart = make_environment(tutorial.folder / ".venv-apart")
    (site,) = apart.parents[1].glob("lib/python*/site-packages")
    (site / "hub_formant").symlink_to(tutorial.folder / "hub_formant")
    assert tutorial.follow(PAGE) >= 16
