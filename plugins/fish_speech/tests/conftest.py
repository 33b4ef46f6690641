"""One hub with a tiny S1 for all tests of routes and clients."""

import io

import numpy as np
import pytest
import soundfile

from hub.settings import ModelSettings, PluginSettings, Settings
from hub.testing.fixtures import serve_hub
from plugins.fish_speech.tests.support import served as fish_served

OTHERS = ("cosyvoice", "gpt_sovits", "hibari", "higgs_audio")


@pytest.fixture(scope="session")
def fish_checkpoint(tmp_path_factory):
    """The folder of a tiny S1."""
    return fish_served.make_checkpoint(tmp_path_factory.mktemp("tiny-s1"))


@pytest.fixture(scope="session")
def fish_hub(fish_checkpoint):
    """A served hub whose one model is `tiny`."""
    options = {"threads": 1, "warm_up": False}
    model = ModelSettings(backend="fish_speech", path=str(fish_checkpoint), device="cpu", options=options)
    with serve_hub(Settings(models={"tiny": model}, plugins=PluginSettings(disabled=OTHERS))) as live:
        yield live


@pytest.fixture(scope="session")
def recording():
    """Half a second of a voice, as a WAV."""
    time = np.arange(12_000) / 24_000
    sound = 0.3 * np.sin(2 * np.pi * 140 * time) * (1 + 0.5 * np.sin(2 * np.pi * 5 * time))
    file = io.BytesIO()
    soundfile.write(file, sound.astype(np.float32), 24_000, format="WAV")
    return file.getvalue()
