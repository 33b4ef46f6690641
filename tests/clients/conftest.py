"""Real clients against real hubs. A client that is not installed is not tested.

`pytest tests/clients plugins/*/tests --write-table` writes what passed into docs/clients.md.
"""

import pytest

from hub.settings import ModelSettings, PluginSettings, Settings
from hub.testing import tone
from hub.testing.fixtures import serve_hub
from tests.support import pass_table


@pytest.fixture(scope="session")
def tones():
    """A hub whose model `tone` plays each text so that a test can read it back."""
    settings = Settings(models={"tone": ModelSettings(backend="tone")}, plugins=PluginSettings(disabled=("hibari",)))
    with serve_hub(settings, [tone]) as live:
        yield live


@pytest.fixture
def reports(tones):
    """The hub's reports of the requests of this test."""
    while not tones.reports.ended.empty():
        tones.reports.ended.get_nowait()
    return tones.reports


def pytest_addoption(parser):
    parser.addoption("--write-table", action="store_true", help="write the table of docs/clients.md from what ran")


def pytest_configure(config):
    if config.getoption("--write-table", False):
        config.pluginmanager.register(pass_table.Recorder(), "pass table")
