"""Tiny checkpoints, models that have loaded them, and one served hub: each made once a run."""

import pytest

from hub.settings import ModelSettings, PluginSettings, Settings
from hub.testing.fixtures import serve_hub
from plugins.fish_speech.tests.support import served, spoken, tiny
from plugins.fish_speech.tests.support.others import OTHER_PLUGINS


@pytest.fixture(scope="session")
def s1_folder(tmp_path_factory):
    """A tiny S1. Copy it before you change it."""
    return tiny.make_s1(tmp_path_factory.mktemp("s1"))


@pytest.fixture(scope="session")
def s2_folder(tmp_path_factory):
    """A tiny S2. Copy it before you change it."""
    return tiny.make_s2(tmp_path_factory.mktemp("s2"))


@pytest.fixture(scope="session")
def s1(s1_folder):
    """The tiny S1, loaded."""
    return spoken.loaded(s1_folder)


@pytest.fixture(scope="session")
def s2(s2_folder):
    """The tiny S2, loaded."""
    return spoken.loaded(s2_folder)


@pytest.fixture(params=["s1", "s2"])
def fish(request):
    """Both, one after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def fish_checkpoint(tmp_path_factory):
    """A tiny S1 with frames of the releases' length."""
    return served.make_checkpoint(tmp_path_factory.mktemp("tiny-s1"))


@pytest.fixture(scope="session")
def fish_hub(fish_checkpoint):
    """A served hub whose one model is `tiny`."""
    options = {"threads": 1, "warm_up": False}
    model = ModelSettings(backend="fish_speech", path=str(fish_checkpoint), device="cpu", options=options)
    with serve_hub(Settings(models={"tiny": model}, plugins=PluginSettings(disabled=OTHER_PLUGINS))) as live:
        yield live


@pytest.fixture(scope="session")
def recording():
    """Half a second of a hum, as a WAV."""
    return tiny.recording(pitch=140.0)
