"""A shell that runs the commands of a page."""

import pytest

from tests.support.pages import Shell


@pytest.fixture
def shell(tmp_path):
    """A shell in an empty folder, with this environment's commands."""
    shell = Shell(tmp_path)
    yield shell
    shell.close()
