"""One hub with a tiny model of each generation, for all tests of the routes."""

import pytest

from hub.settings import ModelSettings, Settings
from hub.testing.fixtures import serve_hub
from plugins.cosyvoice.tests.support.cases import checkpoint

LONGEST = 1.0
"""Seconds of a segment: a model with random weights hardly ever ends of itself."""


@pytest.fixture(scope="session")
def cosyvoice_hub():
    """Models v1, v2 (the default) and v3."""
    models = {
        name: ModelSettings(backend="cosyvoice", path=str(checkpoint(name)), device="cpu", options={"longest": LONGEST})
        for name in ("v1", "v2", "v3")
    }
    with serve_hub(Settings(models=models, default_model="v2")) as live:
        yield live
