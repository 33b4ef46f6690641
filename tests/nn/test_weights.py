"""Checkpoints: every layout on disk, both kinds of weight norm, and what is refused."""

import io
import json
import os
import pickle
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from hub.nn.weights import (
    CheckpointError,
    fold_weight_norm,
    load_state,
    load_strict,
    load_torch,
    unwrapped,
    without_prefix,
)


@pytest.fixture
def state():
    return {"a.weight": torch.randn(3, 2), "a.bias": torch.randn(3), "b.weight": torch.randn(2, 2)}


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


class RunsCode:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


class HParams:
    """Stands in for the class of that name in a file; made without `__init__`."""

    def __init__(self):
        raise AssertionError("nothing of a file is called")


def file_with_hparams(path):
    """A torch file with an object of class `utils.HParams`, as its own project would have written it."""
    import sys
    import types

    module = types.ModuleType("utils")
    module.HParams = type("HParams", (), {"__module__": "utils", "__qualname__": "HParams"})
    config = module.HParams()
    config.rate, config.model = 32000, module.HParams()
    config.model.layers = [1, 2]
    sys.modules["utils"] = module
    try:
        torch.save({"weight": {"w": torch.ones(2)}, "config": config}, path)
    finally:
        del sys.modules["utils"]


def test_safetensors_torch_files_and_wrappers_give_the_same_tensors(tmp_path, state):
    save_file(state, tmp_path / "model.safetensors")
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"state_dict": state, "step": 7}, tmp_path / "wrapped.ckpt")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("model.safetensors", "plain.pth", "wrapped.ckpt", "old.pt", ""):
        assert_same(load_state(tmp_path / name), state)


def test_shards_are_joined_and_checked(tmp_path, state):
    save_file({"a.weight": state["a.weight"]}, tmp_path / "model-00001-of-00002.safetensors")
    save_file({key: state[key] for key in ("a.bias", "b.weight")}, tmp_path / "model-00002-of-00002.safetensors")
    index = {key: f"model-0000{1 if key == 'a.weight' else 2}-of-00002.safetensors" for key in state}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    assert_same(load_state(tmp_path), state)

    index["c.weight"] = "model-00002-of-00002.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002.safetensors lacks c\.weight"):
        load_state(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}))
    with pytest.raises(CheckpointError, match="points outside its folder"):
        load_state(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(CheckpointError, match="not an index of shards"):
        load_state(tmp_path)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path, legacy):
    proof = tmp_path / "ran"
    torch.save({"w": RunsCode(f"touch {proof}")}, tmp_path / "evil.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"evil\.pth is refused.*would run code \(\w+\.system\)") as caught:
        load_state(tmp_path / "evil.pth")
    assert not proof.exists()
    assert caught.value.detail["file"] == "evil.pth"
    assert str(tmp_path) not in caught.value.message
    (tmp_path / "bare.ckpt").write_bytes(pickle.dumps(RunsCode(f"touch {proof}")))
    with pytest.raises(CheckpointError, match=r"bare\.ckpt is refused"):
        load_state(tmp_path / "bare.ckpt")
    assert not proof.exists()


def test_a_class_is_read_only_through_its_stand_in(tmp_path):
    file_with_hparams(tmp_path / "s2.pth")
    with pytest.raises(CheckpointError, match=r"s2\.pth is refused.*utils\.HParams"):
        load_torch(tmp_path / "s2.pth")
    loaded = load_torch(tmp_path / "s2.pth", allow={"utils.HParams": HParams})
    assert type(loaded["config"]) is HParams
    assert loaded["config"].rate == 32000
    assert loaded["config"].model.layers == [1, 2]
    with pytest.raises(CheckpointError, match=r"utils\.HParams"):
        load_torch(tmp_path / "s2.pth")  # the leave was for one file


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.pth", None, "gone.pth is missing"),
        ("gone.safetensors", None, "gone.safetensors is missing"),
        ("empty.pth", b"", "empty.pth is damaged"),
        ("page.pth", b"<html>404</html>", "page.pth is refused: it is damaged"),
        ("cut.safetensors", b"\x10\0\0\0\0\0\0\0{", "cut.safetensors is damaged"),
        ("page.safetensors", b"<html>not here</html>", "page.safetensors is damaged"),
    ],
)
def test_a_file_that_is_not_a_checkpoint_is_reported(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        load_state(tmp_path / name)


def test_a_cut_torch_file_is_damaged(tmp_path, state):
    torch.save(state, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"cut\.pth is"):
        load_state(tmp_path / "cut.pth")


def test_a_folder_without_weights_and_a_file_without_tensors(tmp_path):
    with pytest.raises(CheckpointError, match=r"none of model\.safetensors"):
        load_state(tmp_path)
    torch.save({"step": 7}, tmp_path / "step.pth")
    with pytest.raises(CheckpointError, match="'step' is a int"):
        load_state(tmp_path / "step.pth")
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="does not contain a dictionary of tensors"):
        load_state(tmp_path / "list.pth")


def test_an_open_file_is_read_too(state):
    packed = io.BytesIO()
    torch.save(state, packed)
    packed.seek(0)
    assert_same(load_torch(packed), state)
    with pytest.raises(CheckpointError, match=r"^inner\.pth is damaged"):
        load_torch(io.BytesIO(b""), name="inner.pth")


def test_wrappers_and_prefixes():
    inner = {"model.a": torch.ones(1), "other": torch.ones(1)}
    assert unwrapped({"generator": {"state_dict": inner}}, ("generator", "state_dict")) is inner
    assert unwrapped(inner) is inner
    assert without_prefix(inner, "model.").keys() == {"a"}


class Normed(nn.Module):
    def __init__(self, normed):
        super().__init__()
        self.conv = normed(nn.Conv1d(4, 6, 3), dim=0)
        self.up = normed(nn.ConvTranspose1d(6, 1, 4), dim=0)
        self.one = normed(nn.Conv1d(1, 1, 3), dim=0)
        self.positions = normed(nn.Conv1d(4, 6, 5), dim=2)
        self.plain = nn.Conv1d(4, 4, 1)
        with torch.no_grad():
            for value in self.parameters():
                value.copy_(torch.randn_like(value))


def old_weight_norm(module, dim):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(module, dim=dim)


@pytest.mark.parametrize("normed", [old_weight_norm, nn.utils.parametrizations.weight_norm], ids=["old", "new"])
def test_folded_weights_are_what_torch_computes(normed):
    module = Normed(normed)
    inputs = torch.randn(1, 4, 9)
    module.conv(inputs), module.positions(inputs)  # the old kind computes its weights when it is called
    module.up(torch.randn(1, 6, 5)), module.one(torch.randn(1, 1, 5))
    folded = fold_weight_norm(module.state_dict())
    assert sorted(folded) == sorted(
        f"{name}.{kind}" for name, _ in module.named_children() for kind in ("weight", "bias")
    )
    for name, child in module.named_children():
        assert torch.equal(folded[f"{name}.weight"], child.weight), name


def test_folding_keeps_half_precision_and_other_weights():
    state = {
        "a.weight_g": torch.ones(2, 1).half(),
        "a.weight_v": torch.full((2, 3), 300.0).half(),
        "b.weight_g": torch.ones(1),
    }
    folded = fold_weight_norm(state)
    assert folded["a.weight"].dtype == torch.float16
    assert torch.allclose(folded["a.weight"].float(), torch.full((2, 3), 3**-0.5), atol=1e-3)  # 300**2 is no half
    assert folded.keys() == {"a.weight", "b.weight_g"}, "a lone magnitude stays, for the strict loader to name"


def test_the_axis_can_be_named_where_it_is_open():
    direction = torch.randn(1, 5, 1)
    state = {"a.weight_g": torch.full((1, 1, 1), 2.0), "a.weight_v": direction}
    assert torch.allclose(fold_weight_norm(state)["a.weight"], 2 * direction / direction.norm())
    by_axis_2 = fold_weight_norm(state, dims={"a": 2})["a.weight"]
    assert torch.allclose(by_axis_2, 2 * direction / direction.norm(dim=(0, 1), keepdim=True))


def test_strict_loading_names_file_and_key():
    module = nn.Linear(2, 3)
    good = {"weight": torch.randn(3, 2), "bias": torch.randn(3)}
    load_strict(module, {**good, "old.freqs_cis": torch.ones(1)}, "model.pth", ignore=[".freqs_cis"])
    assert torch.equal(module.weight, good["weight"])
    with pytest.raises(CheckpointError, match=r"^model\.pth lacks bias; "):
        load_strict(module, {"weight": good["weight"]}, "model.pth")
    with pytest.raises(CheckpointError, match=r"^model\.pth has scale, which this model does not have") as caught:
        load_strict(module, {**good, "scale": torch.ones(1)}, "model.pth")
    assert caught.value.detail == {"file": "model.pth", "key": "scale"}
    with pytest.raises(CheckpointError, match=r"weight has shape \[2, 3\]; this model needs \[3, 2\]"):
        load_strict(module, {**good, "weight": torch.randn(2, 3)}, "model.pth")


def test_a_module_on_meta_takes_the_tensors_as_they_are():
    with torch.device("meta"):
        module = nn.Linear(2, 3)
    good = {"weight": torch.randn(3, 2).bfloat16(), "bias": torch.randn(3)}
    load_strict(module, good, "model.pth")
    assert module.weight.dtype == torch.bfloat16
    assert torch.equal(module.bias, good["bias"])
