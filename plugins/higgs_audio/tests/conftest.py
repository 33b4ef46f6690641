"""One tiny checkpoint, one loaded synthesizer and one served hub for all tests of the family.

The fixtures import torch themselves, so that tests without a model start at once.
"""

import pytest

from hub.contract import ModelConfig
from hub.settings import CompatSettings, ModelSettings, Settings
from hub.testing import tone
from hub.testing.fixtures import serve_hub
from plugins.higgs_audio.tests.support.served import alone, served, write_examples


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The folder of a tiny checkpoint."""
    from plugins.higgs_audio.tests.support.tiny import write_checkpoint

    return write_checkpoint(tmp_path_factory.mktemp("higgs") / "v2")


@pytest.fixture(scope="session")
def spoken(checkpoint):
    """A loaded synthesizer."""
    import torch
    from hub_higgs_audio.synthesizer import HiggsAudio

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    synthesizer = HiggsAudio()
    synthesizer.load(ModelConfig(name="higgs", path=str(checkpoint), device="cpu", options={"max_new_tokens": 48}))
    yield synthesizer
    synthesizer.close()
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def examples(tmp_path_factory):
    """The folders of voices and scenes."""
    return write_examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(scope="session")
def hub(checkpoint, examples):
    """A served hub with the model `higgs`, and `tone` of another family."""
    settings = Settings(
        models={"higgs": served(checkpoint), "tone": ModelSettings(backend="tone")},
        plugins=alone(),
        scene_folders=(str(examples / "scene_prompts"),),
        compat={"higgs_audio": CompatSettings(options={"voice_prompts": str(examples / "voice_prompts")})},
    )
    with serve_hub(settings, [tone]) as live:
        yield live
