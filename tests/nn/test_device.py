"""Devices and types by the settings' words, on cards that are not in this machine."""

import logging

import pytest
import torch

from hub.contract import ModelConfig
from hub.contract.errors import WorkerStartFailed
from hub.nn.device import find_device, find_placement

BUILT = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_90a", "sm_100", "sm_120", "compute_120"]
"""What torch 2.14 for CUDA 13 has code for."""

H200, A10, T4 = ("NVIDIA H200", (9, 0)), ("NVIDIA A10", (8, 6)), ("Tesla T4", (7, 5))
GTX_1660, T1000, RTX_2080 = (
    ("NVIDIA GeForce GTX 1660 Ti", (7, 5)),
    ("NVIDIA T1000 8GB", (7, 5)),
    ("RTX 2080", (7, 5)),
)
V100, GTX_1080 = ("Tesla V100-SXM2-16GB", (7, 0)), ("NVIDIA GeForce GTX 1080", (6, 1))


@pytest.fixture
def cards(monkeypatch):
    """Put cards into this machine: `cards(H200, T4, built=...)`."""

    def put(*found, built=BUILT):
        def index(device):
            return torch.device(device).index or 0

        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(found))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(found))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: found[index(device)][0])
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: found[index(device)][1])
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)

    return put


def placed(device="auto", dtype="auto", **rules):
    return find_placement(ModelConfig(name="m", device=device, dtype=dtype), **rules)


EVERY = ["sm_60", "sm_61", "sm_70", *BUILT]


@pytest.mark.parametrize(
    ("card", "brain", "plain"),
    [
        (H200, "bfloat16", "float16"),
        (A10, "bfloat16", "float16"),
        (RTX_2080, "float16", "float16"),
        (T4, "float16", "float16"),
        (V100, "float16", "float16"),
        (GTX_1660, "float32", "float32"),
        (T1000, "float32", "float32"),
        (GTX_1080, "float32", "float32"),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else one,
)
def test_auto_is_the_best_half_that_the_card_has(cards, card, brain, plain):
    """The family says which it prefers; a card that has it not gets what is next."""
    cards(card, built=EVERY)
    assert str(placed()) == f"cuda:0 in {brain}"
    assert str(placed(half=torch.float16)) == f"cuda:0 in {plain}"
    assert str(placed(device="cpu")) == "cpu in float32"


def test_a_named_type_is_taken_as_it_is(cards):
    cards(H200, GTX_1660)
    assert str(placed("cuda:1", "float16")) == "cuda:1 in float16"
    assert str(placed("cuda", "float32")) == "cuda:0 in float32"


REFUSED = {
    "a wrong word": ({"device": "gpu"}, "models.m.device is 'gpu'; set it to auto, cpu, cuda, cuda:N or mps"),
    "a wrong type": (
        {"dtype": "bf16"},
        "models.m.dtype is 'bf16'; set it to auto, float32, bfloat16, float16",
    ),
    "no such card": (
        {"device": "cuda:9"},
        "models.m.device is 'cuda:9', and the GPUs here are cuda:0, cuda:1; set it to one of them",
    ),
    "a type of newer cards": (
        {"device": "cuda:1", "dtype": "bfloat16"},
        "models.m.dtype is 'bfloat16', and cuda:1 (Tesla T4, compute capability 7.5) only imitates it, slowly; "
        "set it to auto, or to float16",
    ),
    "half on a CPU": (
        {"device": "cpu", "dtype": "float16", "half_on_cpu": False},
        "models.m.dtype is 'float16', and this backend computes in float32 on the CPU; set it to auto",
    ),
}


@pytest.mark.parametrize(("settings", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_had_names_the_setting_and_its_value(cards, settings, message):
    cards(H200, T4)
    with pytest.raises(WorkerStartFailed) as refusal:
        placed(**settings)
    assert refusal.value.message == message


def test_an_old_card_that_is_named_is_refused(cards):
    cards(GTX_1080)
    with pytest.raises(WorkerStartFailed) as refusal:
        placed("cuda:0")
    assert refusal.value.message == (
        f"models.m.device is 'cuda:0', and torch {torch.__version__}, built for {', '.join(BUILT)}, has no code for "
        "cuda:0 (NVIDIA GeForce GTX 1080, compute capability 6.1); set it to cpu, or install a torch that has"
    )


def test_auto_passes_an_old_card_over_and_says_so(cards, caplog):
    cards(GTX_1080, T4)
    assert str(placed()) == "cuda:1 in float16"
    cards(GTX_1080)
    with caplog.at_level(logging.WARNING, "hub.nn"):
        assert str(placed()) == "cpu in float32"
    assert "has no code for cuda:0 (NVIDIA GeForce GTX 1080" in caplog.text


@pytest.mark.parametrize(
    ("capability", "built", "works"),
    [
        ((8, 9), ["sm_80", "sm_86"], True),  # of the same generation, and newer
        ((8, 0), ["sm_86"], False),
        ((12, 0), ["sm_90"], False),
        ((12, 0), ["sm_90", "compute_90"], True),  # translated by the driver
        ((9, 0), ["sm_90a"], False),
        ((6, 1), [], True),  # a build that does not say
    ],
)
def test_code_for_a_card(cards, capability, built, works):
    cards(("a card", capability), built=built)
    if works:
        assert find_device("cuda") == torch.device("cuda:0")
    else:
        with pytest.raises(WorkerStartFailed, match=r"device is 'cuda'.*has no code for cuda:0"):
            find_device("cuda")


@pytest.mark.parametrize(
    ("build", "words", "why"),
    [
        (None, "never asked", rf"torch {torch.__version__}".replace("+", r"\+") + " is built without CUDA"),
        ("13.0", "Found no NVIDIA driver on your system. Please check", "Found no NVIDIA driver on your system"),
        ("13.0", "The NVIDIA driver on your system is too old (found version 11040). Please", r"version 11040\)"),
        ("13.0", "", "CUDA_VISIBLE_DEVICES may hide them"),
    ],
)
def test_cuda_without_a_driver_says_what_torch_says(cards, monkeypatch, build, words, why):
    def start():
        if words:
            raise RuntimeError(words)

    cards()
    monkeypatch.setattr(torch.version, "cuda", build)
    monkeypatch.setattr(torch.cuda, "init", start)
    with pytest.raises(WorkerStartFailed, match=rf"models\.m\.device is 'cuda', and torch finds no CUDA GPU.*{why}"):
        placed("cuda")
    assert str(placed()) == "cpu in float32"
