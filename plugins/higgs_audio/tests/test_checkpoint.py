"""Checkpoints: both layouts of both parts in any combination, and what is refused."""

from __future__ import annotations

import json
import shutil
import threading

import pytest
import torch
from hub_higgs_audio.checkpoint import codec_state, load_codec, load_language
from hub_higgs_audio.layout import CheckpointRefused, find_codec, find_language
from hub_higgs_audio.synthesizer import HiggsAudio
from safetensors.torch import load_file, save_file

from hub.contract import ModelConfig, ResolvedRequest
from hub.contract.errors import UnsupportedCapability, WorkerStartFailed
from hub.nn.weights import CheckpointError
from plugins.higgs_audio.tests.support.boson_codec import write_boson_codec
from plugins.higgs_audio.tests.support.tiny import Size, codec_json, write_checkpoint

CPU = torch.device("cpu")
TINY = Size(codebooks=3, layers=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same weights in boson's layout and in transformers'."""
    base = tmp_path_factory.mktemp("checkpoints")
    made = {boson: write_checkpoint(base / str(boson), TINY, boson=boson) for boson in (True, False)}
    shutil.rmtree(made[True] / "codec")
    write_boson_codec(made[True] / "codec", made[False] / "codec", TINY)
    return made


def changed(folder, target, **values):
    """A copy of a part with another `config.json`."""
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text())
    for key, value in values.items():
        config[key] = value
    (target / "config.json").write_text(json.dumps(config))
    return target


def test_both_layouts_are_one_language_model(folders):
    states = [
        load_language(find_language(str(folder)), CPU, torch.float32).net.state_dict() for folder in folders.values()
    ]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_both_layouts_are_one_codec_and_mixtures_load(folders, tmp_path):
    boson, flat = (folders[kind] / "codec" for kind in (True, False))
    mixed = tmp_path / "mixed"  # transformers' configuration beside boson's weights has been published
    shutil.copytree(boson, mixed)
    (mixed / "config.json").write_text(json.dumps(codec_json(TINY)))
    wave = torch.sin(torch.arange(24_000) * 0.05)
    codecs = [load_codec(find_codec(str(folder)), CPU) for folder in (boson, flat, mixed)]
    assert {codec.codebooks for codec in codecs} == {3}
    heard = [codec.encode(wave) for codec in codecs]
    said = [codec.decode(heard[0]) for codec in codecs]
    assert torch.equal(heard[0], heard[1])
    assert torch.equal(heard[0], heard[2])
    assert torch.allclose(said[0], said[1], atol=1e-3)  # norms folded, after one rounding
    assert not any(key.startswith(("decoder_semantic", "fc1")) for key in codec_state(boson))


def test_the_rate_that_hubert_hears_is_the_configurations_in_both_layouts(folders, tmp_path):
    for kind, folder in folders.items():
        part = find_codec(str(changed(folder / "codec", tmp_path / str(kind), semantic_sample_rate=12_000)))
        assert load_codec(part, CPU).shape.semantic_rate == 12_000


def test_parts_are_found_in_beside_and_by_name(folders, tmp_path):
    folder = folders[False]
    assert find_language(str(folder)).folder.name == "language"
    assert find_language(str(folder / "language")).folder.name == "language"
    assert find_codec(str(folder)).folder == folder / "codec"
    assert find_codec(str(folder / "language")).folder == folder / "codec"
    alone = tmp_path / "alone" / "language"
    shutil.copytree(folder / "language", alone)
    with pytest.raises(CheckpointRefused, match="no codec"):
        find_codec(str(alone))
    assert find_codec(str(alone), str(folder / "codec")).folder == folder / "codec"
    with pytest.raises(CheckpointRefused, match="several folders"):
        shutil.copytree(folder / "codec", tmp_path / "alone" / "one")
        shutil.copytree(folder / "codec", tmp_path / "alone" / "two")
        find_codec(str(alone))
    with pytest.raises(CheckpointRefused, match="ttshub pull"):
        find_language(str(tmp_path / "nowhere"))


def test_version_3_is_another_family(folders, tmp_path):
    other = changed(folders[True] / "language", tmp_path / "v3", model_type="higgs_audio_v3")
    with pytest.raises(CheckpointRefused, match="another model family"):
        find_language(str(other))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("audio_adapter_type", "mixture"),
        ("use_delay_pattern", False),
        ("audio_decoder_proj_num_layers", 2),
        ("use_rq_transformer", True),
        ("encode_whisper_embed", True),
    ],
)
def test_unsupported_layers_are_refused_by_name(folders, tmp_path, key, value):
    other = changed(folders[True] / "language", tmp_path / "other", **{key: value})
    with pytest.raises(CheckpointRefused, match=key if key.startswith("use") else "audio|encode"):
        load_language(find_language(str(other)), CPU, torch.float32)


@pytest.mark.parametrize(
    ("key", "value"), [("semantic_techer", "wavlm_base_plus"), ("bins", [8, 8, 8]), ("vq_scale", 2), ("n_q", 9)]
)
def test_a_codec_that_is_not_computed_is_refused_by_name(folders, tmp_path, key, value):
    other = changed(folders[True] / "codec", tmp_path / "other", **{key: value})
    with pytest.raises(CheckpointRefused, match=key):
        load_codec(find_codec(str(other)), CPU)


def test_a_codebook_size_without_bos_and_eos_is_refused(folders, tmp_path):
    other = changed(folders[False] / "language", tmp_path / "other", codebook_size=TINY.codebook_size)
    with pytest.raises(CheckpointRefused, match="codebook_size counts them"):
        load_language(find_language(str(other)), CPU, torch.float32)


def test_a_missing_weight_is_named(folders, tmp_path):
    target = tmp_path / "torn"
    shutil.copytree(folders[True] / "language", target)
    state = load_file(target / "model.safetensors")
    del state["layers.0.audio_mlp.up_proj.weight"]
    save_file(state, target / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.layers\.0\.audio_mlp\.up_proj\.weight"):
        load_language(find_language(str(target)), CPU, torch.float32)


def test_a_split_table_of_a_fine_tune_is_joined(folders, tmp_path):
    target = tmp_path / "tuned"
    shutil.copytree(folders[True] / "language", target)
    state = load_file(target / "model.safetensors")
    table = state.pop("embed_tokens.weight")
    state["embed_tokens.embedding_frozen.weight"] = table[:300].clone()
    state["embed_tokens.embedding_trainable.weight"] = table[300:].clone()
    head = state.pop("audio_decoder_proj.text_lm_head.weight")
    state["audio_decoder_proj.text_lm_head.linear_frozen.weight"] = head[:300].clone()
    state["audio_decoder_proj.text_lm_head.linear_trainable.weight"] = head[300:].clone()
    save_file(state, target / "model.safetensors")
    net = load_language(find_language(str(target)), CPU, torch.float32).net
    assert torch.equal(net.model.embed_tokens.weight, table)
    assert torch.equal(net.text_lm_head.weight, head)


def test_a_model_saved_without_its_text_head_speaks(folders, tmp_path):
    folder = tmp_path / "headless"
    shutil.copytree(folders[False], folder)
    state = load_file(folder / "language" / "model.safetensors")
    del state["text_lm_head.weight"]
    save_file(state, folder / "language" / "model.safetensors")
    synthesizer = HiggsAudio()
    synthesizer.load(ModelConfig(name="x", path=str(folder), device="cpu", options={"max_new_tokens": 16}))
    stop = threading.Event()
    assert list(synthesizer.speak(ResolvedRequest(text="Hi.", seed=1), stop))
    assert synthesizer.device == "cpu"
    with pytest.raises(UnsupportedCapability, match="force_audio"):
        list(synthesizer.speak(ResolvedRequest(text="Hi.", options={"force_audio": False}), stop))


class Harmful:
    def __reduce__(self):
        return print, ("this must never run",)


def test_a_pickle_that_runs_code_is_refused(folders, tmp_path, capsys):
    target = tmp_path / "evil"
    shutil.copytree(folders[True] / "codec", target)
    torch.save({"decoder_2.model.0.weight_v": Harmful()}, target / "model.pth")
    with pytest.raises(CheckpointError, match=r"model\.pth is refused"):
        load_codec(find_codec(str(target)), CPU)
    assert "never run" not in capsys.readouterr().out


def test_parts_of_different_models_do_not_speak(folders, tmp_path):
    other = write_checkpoint(tmp_path / "other", Size(layers=1))
    config = ModelConfig(
        name="x", path=str(folders[True] / "language"), device="cpu", options={"codec": str(other / "codec")}
    )
    with pytest.raises(WorkerStartFailed, match="do not belong together"):
        HiggsAudio().load(config)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"options": {"stream": 2}}, r"models\.x\.options: .*stream"),
        ({"dtype": "int4", "device": "cpu"}, r"models\.x\.dtype is 'int4'"),
        ({"device": "gpu"}, r"models\.x\.device is 'gpu'"),
        ({"options": {"codec_device": "gpu"}, "device": "cpu"}, r"models\.x\.options\.codec_device is 'gpu'"),
    ],
)
def test_a_wrong_setting_is_named(folders, settings, named):
    with pytest.raises(WorkerStartFailed, match=named):
        HiggsAudio().load(ModelConfig(name="x", path=str(folders[True]), **settings))


def test_profiles_are_read_from_the_folder(folders, tmp_path):
    folder = tmp_path / "with profiles"
    shutil.copytree(folders[False], folder)
    (folder / "profile.yaml").write_text("profiles:\n  granny: An old lady with a warm voice.\n")
    synthesizer = HiggsAudio()
    synthesizer.load(ModelConfig(name="x", path=str(folder), device="cpu", options={"max_new_tokens": 16}))
    assert [voice.id for voice in synthesizer.voices()] == ["smart", "profile:granny"]
    synthesizer.close()
    (folder / "profile.yaml").write_text("- granny\n")
    with pytest.raises(WorkerStartFailed, match=r"profile\.yaml is not a list of profiles"):
        HiggsAudio().load(ModelConfig(name="x", path=str(folder), device="cpu"))
