"""Codec weights of every style load as the same codec; wrong files are refused by file and key."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
import yaml
from hub_fish_speech.checkpoint.codec import read_sizes
from hub_fish_speech.model.codec.sizes import DacSizes, FireflySizes

from hub.nn.weights import CheckpointError
from hub.testing.sounds import alike
from plugins.fish_speech.tests.support import codecs

BOTH = ("dac", "firefly")
CODES = torch.arange(24).reshape(6, 4)


def spoken(folder: Path) -> torch.Tensor:
    codec = codecs.load(folder)
    return codec.decode(CODES[: codec.codebooks])


@pytest.fixture(scope="module", params=BOTH)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> codecs.Built:
    return codecs.build(request.param, tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module", params=BOTH)
def styles(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("styles")
    return [
        codecs.build(request.param, folder, style).write(folder / style.__name__)
        for style in (codecs.plain, codecs.old_norm, codecs.new_norm)
    ]


def test_both_styles_of_weight_norm_and_none_are_one_codec(styles):
    plain, old, new = (spoken(folder) for folder in styles)
    torch.testing.assert_close(old, plain, atol=1e-6, rtol=0)
    torch.testing.assert_close(new, plain, atol=1e-6, rtol=0)


def test_wrappers_prefixes_and_old_buffers_change_nothing(built, tmp_path):
    expected = spoken(built.write(tmp_path / "plain"))
    wrapped = {"state_dict": {f"generator.{key}": value for key, value in built.state.items()}}
    wrapped["state_dict"]["discriminator.weight"] = torch.zeros(3)
    assert alike(spoken(built.write(tmp_path / "wrapped", wrapped)).numpy(), expected.numpy())
    buffers = {
        "quantizer.post_module.freqs_cis": torch.zeros(4, 2, 2, dtype=torch.bfloat16),
        "quantizer.post_module.causal_mask": torch.ones(4, 4, dtype=torch.bool),
    }
    assert alike(spoken(built.write(tmp_path / "buffers", built.state | buffers)).numpy(), expected.numpy())


def test_a_file_of_weights_is_known_by_its_content_whatever_its_name(built, tmp_path):
    expected = spoken(built.write(tmp_path))
    (tmp_path / built.weights).rename(tmp_path / "other.pth")
    assert alike(spoken(tmp_path / "other.pth").numpy(), expected.numpy())


def test_half_precision_weights_run_in_float32(built, tmp_path):
    halves = {key: value.half() for key, value in built.state.items()}
    made = spoken(built.write(tmp_path, halves))
    assert made.dtype == torch.float32
    assert made.isfinite().all()


def test_a_missing_key_is_named_with_its_file(built, tmp_path):
    lacking = dict(built.state)
    gone = next(key for key in lacking if key.endswith("gamma"))
    del lacking[gone]
    with pytest.raises(CheckpointError, match=f"{built.weights} lacks {gone}") as caught:
        codecs.load(built.write(tmp_path, lacking))
    assert caught.value.detail == {"file": built.weights, "key": gone}


def test_a_surplus_key_is_named_too(built, tmp_path):
    with pytest.raises(CheckpointError, match=r"surplus\.weight"):
        codecs.load(built.write(tmp_path, built.state | {"surplus.weight": torch.zeros(2)}))


def test_sizes_that_the_weights_do_not_have_are_named_by_shape(built, tmp_path):
    other = {**built.sizes, "quantizer": {**built.sizes["quantizer"], "input_dim": 128}}
    built.write(tmp_path)
    (tmp_path / built.sizes_file).write_text(yaml.safe_dump(other))
    with pytest.raises(CheckpointError, match=r"quantizer\..* has shape .* this model needs"):
        codecs.load(tmp_path)


def test_without_a_file_of_sizes_those_of_the_release_count(built, tmp_path):
    built.write(tmp_path)
    (tmp_path / built.sizes_file).unlink()
    with pytest.raises(CheckpointError, match=built.weights):  # the release's sizes do not fit the tiny codec
        codecs.load(tmp_path)


def test_a_pickle_that_runs_code_is_refused_before_it_does(built, tmp_path):
    built.write(tmp_path)

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "trapped",))

    (tmp_path / built.weights).write_bytes(pickle.dumps({"x": Trap()}, protocol=2))
    with pytest.raises(CheckpointError, match=f"{built.weights} is refused"):
        codecs.load(tmp_path)
    assert not (tmp_path / "trapped").exists()


def test_a_folder_without_a_codec_says_what_was_looked_for(tmp_path):
    with pytest.raises(CheckpointError, match=r"codec\.pth .* firefly\*\.pth"):
        codecs.load(tmp_path)


def test_release_sizes_are_the_default(tmp_path):
    dac, firefly = read_sizes(tmp_path / "none.yaml", DacSizes), read_sizes(tmp_path / "none.yaml", FireflySizes)
    assert (dac.frame, firefly.frame) == (2048, 2048)
    assert (dac.latent, dac.quantizer.n_codebooks) == (1024, 9)
    assert firefly.quantizer.n_groups == 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("encoder_rates: [2, x]", r"encoder_rates\[1\]"),
        ("quantizer: {post_module: {causal: false}}", "causal"),
        ("quantizer: {post_module: {config: {pos_embed_type: conformer}}}", "pos_embed_type"),
        ("a: b: c", "cannot be read as YAML"),
        ("[1, 2]", "an unknown codec"),
    ],
)
def test_sizes_that_make_no_codec_are_refused_by_name(tmp_path, text, words):
    file = tmp_path / "modded_dac_vq.yaml"
    file.write_text(text)
    with pytest.raises(CheckpointError, match=words) as caught:
        read_sizes(file, DacSizes)
    assert "modded_dac_vq.yaml" in caught.value.message


def test_numbers_that_yaml_reads_as_words_are_numbers(tmp_path):
    file = tmp_path / "modded_dac_vq.yaml"
    file.write_text("_target_: x.Y\ntransformer_general_config: {_partial_: true, norm_eps: 1e-5}")
    assert read_sizes(file, DacSizes).transformer_general_config.norm_eps == 1e-5
