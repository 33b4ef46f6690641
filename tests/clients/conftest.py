"""Real clients against real hubs. A client that is not installed is not tested."""

import pytest

from hub.settings import ModelSettings, PluginSettings, Settings
from hub.testing import tone
from hub.testing.fixtures import serve_hub


@pytest.fixture(scope="session")
def tones():
    """A hub whose model `tone` plays each text so that a test can read it back."""
    settings = Settings(models={"tone": ModelSettings(backend="tone")}, plugins=PluginSettings(disabled=("hibari",)))
    with serve_hub(settings, [tone]) as live:
        yield live


@pytest.fixture
def reports(tones):
    """What the hub tells of the requests of this test."""
    while not tones.reports.ended.empty():
        tones.reports.ended.get_nowait()
    return tones.reports
