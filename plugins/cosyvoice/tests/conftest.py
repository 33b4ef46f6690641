"""Tiny checkpoints of each generation, and one hub with a model of each, for all tests of the family."""

from functools import cache

import pytest

from hub.settings import ModelSettings, Settings
from hub.testing.fixtures import serve_hub
from plugins.cosyvoice.tests.support.tiny import FILES, make_checkpoint

LONGEST = 1.0
"""Seconds of a segment: a model with random weights hardly ever ends of itself."""


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The folder of a checkpoint, by the name `v1`, `v2` or `v3`; made when it is first asked for."""
    return cache(lambda name: make_checkpoint(name, tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="session")
def cosyvoice_hub(checkpoint):
    """Models v1, v2 (the default) and v3."""
    models = {
        name: ModelSettings(backend="cosyvoice", path=str(checkpoint(name)), device="cpu", options={"longest": LONGEST})
        for name in FILES
    }
    with serve_hub(Settings(models=models, default_model="v2")) as live:
        yield live
