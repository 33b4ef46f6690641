"""Loading a model: what the operator sets wrongly is named."""

import shutil
from pathlib import Path

import pytest
import torch
from hub_fish_speech.synthesizer import FishSpeech

from hub.contract import ModelConfig
from hub.contract.errors import WorkerStartFailed
from plugins.fish_speech.tests.support.spoken import loaded, speak


def test_a_loaded_model_describes_itself(s1, s2):
    for fish, dialogue in ((s1, False), (s2, True)):
        assert fish.device == "cpu"
        assert fish.concurrency == 2
        assert fish.voices() == []
        assert (fish.capabilities.sample_rate, fish.capabilities.dialogue) == (44_100, dialogue)


def test_voices_are_prepared_with_the_codec_wherever_it_is(s1_folder, tmp_path):
    assert loaded(s1_folder).files == (s1_folder,)
    codec = Path(shutil.copytree(s1_folder, tmp_path / "codec"))
    assert loaded(s1_folder, codec=str(codec)).files == (codec,)


@pytest.mark.parametrize("dtype", ["auto", "bfloat16"])
def test_it_speaks_in_the_type_that_is_set(s1_folder, dtype):
    fish = loaded(s1_folder, device="auto" if not torch.cuda.is_available() else "cpu", dtype=dtype, warm_up=True)
    assert fish.machinery.language.model.dtype == (torch.float32 if dtype == "auto" else torch.bfloat16)
    assert len(speak(fish).samples) == 29 * 64
    fish.close()


def test_a_path_must_be_there(tmp_path):
    with pytest.raises(WorkerStartFailed, match="needs a path"):
        FishSpeech().load(ModelConfig(name="fish"))
    with pytest.raises(WorkerStartFailed, match="not a folder"):
        loaded(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"device": "gpu"}, r"models\.fish\.device is 'gpu'"),
        ({"device": "cuda:99"}, r"models\.fish\.device is 'cuda:99'"),
        ({"dtype": "bf16"}, r"models\.fish\.dtype is 'bf16'"),
        ({"warm": True}, r"models\.fish\.options: .*`warm`"),
        ({"concurrency": -1}, r"models\.fish\.options: .*concurrency"),
    ],
)
def test_a_wrong_setting_is_named(s1_folder, settings, words):
    with pytest.raises(WorkerStartFailed, match=words):
        loaded(s1_folder, **settings)
