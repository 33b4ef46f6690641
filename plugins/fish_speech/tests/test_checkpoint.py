"""Checkpoints: every spelling of the weights gives the same model; files that do not fit are refused by name."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from hub_fish_speech.checkpoint.language_model import detect, load_language_model
from hub_fish_speech.checkpoint.weight_names import renamed
from hub_fish_speech.config import read_config
from hub_fish_speech.variants import S1, S2, V1_4, V1_5, VARIANTS
from safetensors.torch import save_file

from hub.nn.weights import CheckpointError, load_state
from plugins.fish_speech.tests.support import tiny

CPU = torch.device("cpu")


@pytest.fixture
def copy(s1_folder, tmp_path):
    """A checkpoint to spoil; with its weights."""
    folder = tmp_path / "copy"
    shutil.copytree(s1_folder, folder)
    return folder, torch.load(folder / "model.pth", weights_only=True)


def logits(folder, dtype=torch.float32):
    language = load_language_model(folder, CPU, dtype)
    with torch.inference_mode():
        return language.model.main_logits(language.model.embed(torch.arange(8).reshape(4, 2))).float()


def test_the_files_show_the_generation(s1_folder, s2_folder, tmp_path):
    assert detect(s1_folder) is S1
    assert detect(s2_folder) is S2
    (tmp_path / "config.json").write_text('{"model_type": "dual_ar", "share_codebook_embeddings": true}')
    (tmp_path / "tokenizer.tiktoken").touch()
    assert detect(tmp_path) is V1_5  # no codec there: a key that S1 dropped decides
    (tmp_path / "firefly-gan-tiny.pth").touch()
    assert detect(tmp_path) is V1_5
    (tmp_path / "tokenizer.tiktoken").rename(tmp_path / "tokenizer.json")
    assert detect(tmp_path) is V1_4


def split_heads(state):
    """wq, wk, wv apart."""
    found = {}
    for key, value in state.items():
        if key.endswith("wqkv.weight"):
            sizes = [value.shape[0] // 2, value.shape[0] // 4, value.shape[0] // 4]
            for name, part in zip("qkv", value.split(sizes), strict=True):
                found[key.replace("wqkv", f"w{name}")] = part
        else:
            found[key] = value
    return found


SPELLINGS = {
    "training checkpoint": lambda state: {"state_dict": {f"model.{key}": value for key, value in state.items()}},
    "heads apart": split_heads,
    "old buffers": lambda state: state | {"freqs_cis": torch.zeros(3), "fast_freqs_cis": torch.zeros(3)},
    "encoders of sound": lambda state: state | {"audio_projector.weight": torch.zeros(3)},
}


@pytest.mark.parametrize("spell", SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_is_the_same_model(copy, s1_folder, spell):
    folder, state = copy
    torch.save(spell(state), folder / "model.pth")
    torch.testing.assert_close(logits(folder), logits(s1_folder))


def test_one_safetensors_file_is_enough(copy, s1_folder):
    folder, state = copy
    (folder / "model.pth").unlink()
    save_file(state, folder / "model.safetensors")
    torch.testing.assert_close(logits(folder), logits(s1_folder))


def test_eight_bit_weights_are_widened(copy, s1_folder):
    folder, state = copy
    for key in [key for key in state if key.endswith(("w1.weight", "output.weight"))]:
        scales = state[key].abs().amax(1) / 127
        state[key.removesuffix("weight") + "scales"] = scales
        state[key] = (state[key] / scales[:, None]).round().to(torch.int8)
    torch.save(state, folder / "model.pth")
    assert torch.allclose(logits(folder), logits(s1_folder), atol=0.3)
    assert not torch.equal(logits(folder), logits(s1_folder))


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("layers.1.feed_forward.w2.weight", None, "lacks layers.1.feed_forward.w2.weight"),
        ("layers.9.feed_forward.w2.weight", torch.zeros(2), "has layers.9.feed_forward.w2.weight"),
        ("norm.weight", torch.zeros(5), r"norm.weight has shape \[5\]"),
        ("layers.0.attention.wo.lora_A", torch.zeros(2), "adapter"),
        ("output.scales_and_zeros", torch.zeros(2), "four-bit"),
    ],
)
def test_weights_of_another_model_are_refused_by_name(copy, key, value, words):
    folder, state = copy
    if value is None:
        del state[key]
    else:
        state[key] = value
    torch.save(state, folder / "model.pth")
    with pytest.raises(CheckpointError, match=words) as caught:
        load_language_model(folder, CPU, torch.float32)
    assert "model.pth" in caught.value.message
    assert str(folder) not in caught.value.message


class Evil:
    def __reduce__(self):
        return print, ("the pickle ran",)


def test_a_pickle_that_runs_code_is_refused(copy, capfd):
    folder, _ = copy
    torch.save({"norm.weight": Evil()}, folder / "model.pth")
    with pytest.raises(CheckpointError, match=r"model\.pth is refused"):
        load_language_model(folder, CPU, torch.float32)
    assert "the pickle ran" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "llama"}, "'llama'"),
        ({"dim": None}, "config.json"),
        ({"n_local_heads": 3}, "do not fit"),
        ({"vocab_size": 100}, "more tokens"),
    ],
)
def test_a_config_that_does_not_fit_is_refused(copy, change, words):
    folder, _ = copy
    data = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(data | change))
    with pytest.raises(CheckpointError, match=words):
        load_language_model(folder, CPU, torch.float32)


def test_a_folder_without_weights_says_what_it_looks_for(copy):
    folder, _ = copy
    (folder / "model.pth").unlink()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_language_model(folder, CPU, torch.float32)


def test_missing_fast_sizes_are_the_slow_ones():
    data = {"vocab_size": 9, "n_layer": 1, "n_head": 4, "dim": 64, "num_codebooks": 2, "codebook_size": 5}
    config = read_config({**data, "fast_dim": 0, "fast_n_head": None, "intermediate_size": None}, "s1")
    assert (config.fast.dim, config.fast.heads, config.fast.ffn) == (64, 4, 256)
    assert config.slow.head_dim == 64  # its own default, not dim / n_head
    assert read_config(data, "v1_5").slow.head_dim == 16
    assert read_config({**data, "head_dim": None}, "s1").slow.head_dim == 16


def test_keys_count_for_the_generations_that_know_them():
    data = {"vocab_size": 9, "n_layer": 1, "n_head": 4, "dim": 64, "num_codebooks": 2, "codebook_size": 5}
    data |= {"share_codebook_embeddings": False, "scale_codebook_embeddings": True, "norm_fastlayer_input": True}
    found = {name: read_config({**data, "model_type": "dual_ar"}, name) for name in VARIANTS}
    assert [name for name in found if found[name].shared_codebook_embeddings] == ["v1_5"]
    assert [name for name in found if found[name].scales_codebook_embeddings] == ["s1", "s2"]
    assert [name for name in found if found[name].fast_reads_normed] == ["s2"]


def test_s2_as_its_own_tools_save_it(s2_folder, tmp_path):
    """One model.pth with plain names, and a flat config.json that states what S2 implies elsewhere."""
    saved = tmp_path / "saved"
    shutil.copytree(s2_folder, saved)
    config = json.loads((saved / "config.json").read_text())
    text, audio = config["text_config"], config["audio_decoder_config"]
    flat = {"scale_codebook_embeddings": True, "norm_fastlayer_input": True, "num_codebooks": audio["num_codebooks"]}
    flat |= {"model_type": "dual_ar", "codebook_size": audio["vocab_size"], "n_fast_layer": audio["n_layer"]}
    rest = {f"fast_{key}": value for key, value in audio.items() if key not in ("vocab_size", "num_codebooks")}
    (saved / "config.json").write_text(json.dumps(text | rest | flat))
    torch.save(renamed(load_state(saved / "model.safetensors.index.json"), "x", tied=True), saved / "model.pth")
    for file in saved.glob("*.safetensors*"):
        file.unlink()
    assert detect(saved) is S2
    assert (
        load_language_model(saved, CPU, torch.float32).config
        == load_language_model(s2_folder, CPU, torch.float32).config
    )
    torch.testing.assert_close(logits(saved), logits(s2_folder))


def test_a_vocabulary_may_end_with_the_codes_that_there_are(tmp_path):
    """1.5 lists 1024 tokens for codes, for all sizes of codebooks."""
    folder = tiny.make_s1(tmp_path)
    (folder / "codec.pth").rename(folder / "firefly-gan.pth")
    data = json.loads((folder / "config.json").read_text())
    start = 256 + 12  # bytes, then what 1.5 has before the codes
    for size, fits in ((start + tiny.CODES, True), (start + tiny.CODES - 1, False)):
        changed = {**data, "vocab_size": size, "dim": 32, "n_head": 4, "fast_n_head": 2}
        (folder / "config.json").write_text(json.dumps(changed))
        state = tiny.weights(changed, "v1_5", 260)
        torch.save(state, folder / "model.pth")
        if fits:
            assert load_language_model(folder, CPU, torch.float32).variant is V1_5
        else:
            with pytest.raises(CheckpointError, match="more tokens"):
                load_language_model(folder, CPU, torch.float32)


def test_missing_sizes_of_the_fast_transformer_of_s2_are_those_of_its_text_model():
    text = {"vocab_size": 9, "n_layer": 2, "n_head": 4, "n_local_heads": 2, "dim": 48, "head_dim": 16}
    text |= {"intermediate_size": 96, "attention_qk_norm": True, "attention_o_bias": True}
    audio = {"vocab_size": 5, "num_codebooks": 2, "n_layer": 1}
    config = read_config({"text_config": text, "audio_decoder_config": audio}, "s2")
    assert config.fast == replace(config.slow, layers=1)
    assert (config.slow.rope_base, config.slow.eps, config.max_seq_len) == (10000, 1e-5, 2048)
    audio |= {"dim": 32, "n_head": 2, "n_local_heads": -1, "attention_qk_norm": False}
    fast = read_config({"text_config": text | {"head_dim": None}, "audio_decoder_config": audio}, "s2").fast
    assert (fast.dim, fast.heads, fast.kv_heads, fast.head_dim, fast.qk_norm) == (32, 2, 2, 64, False)


def test_a_tied_model_has_no_output_of_its_own():
    assert renamed({"norm.weight": torch.zeros(1), "output.weight": torch.zeros(1)}, "x", tied=True).keys() == {
        "norm.weight"
    }


def test_half_precision_speaks_about_the_same(s1_folder):
    assert torch.allclose(logits(s1_folder, torch.bfloat16), logits(s1_folder), atol=0.5)
