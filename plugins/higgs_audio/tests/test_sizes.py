"""Checkpoints of other sizes than the release's: each comes from the files, none from the code."""

from __future__ import annotations

import json

import pytest
import torch
from hub_higgs_audio.checkpoint import adapter_of, codec_state, language_config, load_codec, load_language
from hub_higgs_audio.layout import Part, find_codec, find_language
from hub_higgs_audio.model.codec import Quantizer, SemanticEncoder
from hub_higgs_audio.model.shape import CodecShape, SemanticShape, Sizes
from safetensors.torch import load_file, save_file
from transformers import XcodecConfig
from transformers.models.xcodec.modeling_xcodec import SemanticEncoder as TheirEncoder

from plugins.higgs_audio.tests.support.tiny import Size, language_json, random_state, write_checkpoint

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("sizes") / "tiny", Size(layers=3, codebooks=3))


def with_config(folder, target, remove=(), **values):
    """The codec in `folder` with another `config.json`, beside the same weights."""
    target.mkdir()
    (target / "model.safetensors").symlink_to(folder / "codec" / "model.safetensors")
    config = json.loads((folder / "codec" / "config.json").read_text()) | values
    (target / "config.json").write_text(json.dumps({key: config[key] for key in config if key not in remove}))
    return find_codec(str(target))


@pytest.mark.parametrize("layout", ["boson", "transformers"])
def test_heads_need_not_share_the_width_between_them(tmp_path, layout):
    size = Size(layers=1, hidden=40, heads=3, kv_heads=1, head_dim=16)
    part = find_language(str(write_checkpoint(tmp_path / layout, size, boson=layout == "boson")))
    model = load_language(part, CPU, torch.float32)
    assert (model.sizes.kv_heads, model.sizes.head_dim) == (1, 16)
    assert model.net.model.layers[0].self_attn.q_proj.weight.shape == (48, 40)


@pytest.mark.parametrize(
    ("kind", "dual", "paths"),
    [
        ("dual_ffn", [0, 2], ("dual", "shared", "dual")),
        ("dual_ffn_fast_forward", [0, 2], ("dual", "bypass", "dual")),
        ("stack", None, ("shared", "shared", "shared")),
    ],
)
def test_audio_goes_through_layers_as_the_configuration_says(folder, tmp_path, kind, dual, paths):
    config = language_json(Size(layers=3, codebooks=3)) | {"audio_adapter_type": kind, "audio_dual_ffn_layers": dual}
    assert adapter_of(Part(tmp_path, config)).paths == paths
    target = tmp_path / "language"
    target.mkdir()
    state = load_file(folder / "language" / "model.safetensors")
    unknown = tuple(f"layers.{layer}.audio_" for layer, path in enumerate(paths) if path != "dual")
    kept = {key: value for key, value in state.items() if not (unknown and key.startswith(unknown))}
    save_file(kept, target / "model.safetensors")
    (target / "config.json").write_text(json.dumps(config))
    model = load_language(find_language(str(target)), CPU, torch.float32)
    assert [hasattr(layer, "audio_mlp") for layer in model.net.model.layers] == [path == "dual" for path in paths]
    assert language_config(Part(target, config)).num_hidden_layers == 3


def test_what_a_language_configuration_leaves_out_is_its_classes_default(tmp_path):
    config = language_config(Part(tmp_path, {"model_type": "higgs_audio", "text_config": {"num_hidden_layers": 2}}))
    assert (config.num_codebooks, config.codebook_size, config.audio_stream_eos_id) == (12, 1026, 1025)
    assert (config.hidden_size, config.num_key_value_heads, config.head_dim) == (4096, 32, 128)
    assert (config.rms_norm_eps, config.rope_parameters["rope_theta"]) == (1e-6, 10_000.0)


def test_codebooks_beyond_those_in_use_are_left_out(folder, tmp_path):
    wave = torch.sin(torch.arange(12_000) * 0.05)
    whole = load_codec(find_codec(str(folder)), CPU)
    part = with_config(folder, tmp_path / "fewer", n_q=2)
    fewer = load_codec(part, CPU)
    assert fewer.codebooks == 2
    assert torch.equal(fewer.encode(wave), whole.encode(wave)[:2])


def test_what_a_codec_configuration_leaves_out_is_its_classes_default(folder):
    state = codec_state(folder / "codec")
    theirs = CodecShape.of({"acoustic_model_config": {}}, state)
    assert (theirs.ratios, theirs.sample_rate, theirs.semantic_rate, theirs.semantic_step) == (
        (8, 5, 4, 2),
        24_000,
        16_000,
        0,
    )
    boson = CodecShape.of({"semantic_techer": "hubert_base"}, state)
    assert (boson.ratios, boson.sample_rate, boson.semantic_step) == ((8, 5, 4, 2), 16_000, 1)


def test_the_step_of_hubert_is_the_configurations(folder, tmp_path):
    assert load_codec(with_config(folder, tmp_path / "one", downsample_factor=640), CPU).shape.semantic_step == 1
    assert load_codec(find_codec(str(folder)), CPU).shape.semantic_step == 2


def test_features_may_be_averaged_instead_of_skipped(folder, tmp_path):
    wave = torch.sin(torch.arange(24_000) * 0.05)[None, None]
    every = load_codec(with_config(folder, tmp_path / "every", downsample_factor=640), CPU).features(wave)
    averaged = load_codec(with_config(folder, tmp_path / "avg", downsample_mode="avg"), CPU).features(wave)
    pairs = every[:, : 2 * averaged.shape[1]].unflatten(1, (-1, 2))
    assert torch.allclose(averaged, pairs.mean(2), atol=1e-6)
    skipped = load_codec(find_codec(str(folder)), CPU).features(wave)
    assert torch.allclose(skipped[:, : averaged.shape[1]], pairs[:, :, 0], atol=1e-6)


def test_a_codebook_as_wide_as_the_embedding_has_no_projections():
    quantizer = Quantizer(6, 9, 6, projected=False)
    quantizer.codebook.embed.copy_(torch.randn(9, 6, generator=torch.Generator().manual_seed(0)))
    assert not list(quantizer.parameters())
    ids = torch.arange(9)[None]
    assert torch.equal(quantizer.encode(quantizer.decode(ids)), ids)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"strides": [2, 1], "block_dilations": [1, 3, 2], "channel_ratios": [2, 1]},
        {"kernel_size": 5, "unit_kernel_size": 7, "strides": [1], "channel_ratios": [2], "block_dilations": [2]},
    ],
)
def test_the_encoder_after_hubert_is_transformers_own_at_any_setting(settings):
    theirs = TheirEncoder(XcodecConfig(semantic_model_config={"model_type": "hubert", "hidden_size": 24}, **settings))
    state = random_state({name: tuple(value.shape) for name, value in theirs.state_dict().items()}, seed=3)
    theirs.load_state_dict(state)
    sizes = {"encoder_semantic." + name: value for name, value in state.items()}
    ours = SemanticEncoder(SemanticShape.of(settings, Sizes(sizes)))
    ours.load_state_dict(state)
    heard = torch.randn(1, 24, 37, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        assert torch.allclose(ours(heard), theirs(heard), atol=1e-5)
