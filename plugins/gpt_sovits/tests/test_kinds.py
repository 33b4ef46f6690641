"""The kind of a weights file is checked when it is set, before anything loads it."""

import pytest
import torch
from hub_gpt_sovits.layout import PRETRAINED
from hub_gpt_sovits.routes.answers import Refused
from hub_gpt_sovits.routes.kinds import check_kind


@pytest.fixture
def files(gpt_sovits_release):
    return dict(zip(("gpt", "sovits"), (gpt_sovits_release / name for name in PRETRAINED["v2"]), strict=True))


def test_each_kind_is_known_by_its_names(files):
    for what, file in files.items():
        check_kind(file, what)
    with pytest.raises(Refused, match=r"s2G2333k\.pth holds acoustic weights \(SoVITS\); this needs semantic"):
        check_kind(files["sovits"], "gpt")
    with pytest.raises(Refused, match="holds semantic weights"):
        check_kind(files["gpt"], "sovits")


def test_the_code_in_the_head_of_newer_files_is_not_damage(files, tmp_path):
    coded = tmp_path / "mine_e8_s96.pth"
    coded.write_bytes(b"06" + files["sovits"].read_bytes()[2:])
    check_kind(coded, "sovits")


def test_loras_and_files_of_the_old_form_are_known(tmp_path):
    lora = tmp_path / "mine_e2_s10_l32.pth"
    torch.save({"weight": {"cfm.base_model.model.x.lora_A.default.weight": torch.zeros(2)}, "config": {}}, lora)
    check_kind(lora, "sovits")
    old = tmp_path / "old.ckpt"
    weights = {"model.ar_predict_layer.weight": torch.zeros(2)}
    torch.save({"weight": weights, "config": {}}, old, _use_new_zipfile_serialization=False)
    check_kind(old, "gpt")


@pytest.mark.parametrize("damage", ["cut off", "empty", "text", "another model"])
def test_a_damaged_or_other_file_is_refused(files, tmp_path, damage):
    file = tmp_path / "mine.ckpt"
    whole = files["gpt"].read_bytes()
    file.write_bytes({"cut off": whole[:-500], "empty": b"", "text": b"PK\x03\x04" + b"weights " * 99}.get(damage, b""))
    if damage == "another model":
        torch.save({"state_dict": {"layer.weight": torch.zeros(2)}}, file)
    with pytest.raises(Refused, match=r"mine\.ckpt is damaged, or not a weights file of GPT-SoVITS"):
        check_kind(file, "gpt")
