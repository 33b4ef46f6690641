"""`ttshub check` on torch, its driver and its cards: in a worker's interpreter, here and as others would answer."""

import json
import os
import re
import sys
from types import SimpleNamespace

import pytest
import torch

from hub.contract import ModelConfig
from hub.contract.errors import WorkerStartFailed
from hub.contract.machine import Onnx
from hub.nn import machine as machines
from hub.nn.device import find_placement

GIB = 2**30

PLUGIN = """
from hub import BackendSpec, hookimpl

@hookimpl
def register_backends():
    return [BackendSpec(name="torchy", synthesizer="torchy_speaks:Torchy", contract=1)]
"""

SYNTHESIZER = """
import sys
import hub.nn.device
print("a library that prints")

class Torchy:
    pass
"""


@pytest.fixture
def torchy(install, monkeypatch, tmp_path):
    """A plugin of which one can be sure that its synthesizer imports torch."""
    site = tmp_path / "site"
    install(site, "torchy-plugin", "torchy = torchy_plugin", torchy_plugin=PLUGIN)
    (site / "torchy_speaks.py").write_text(SYNTHESIZER)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *sys.path]))


def table(line=""):
    return f'[models.a]\nbackend = "torchy"\n{line}\n[server]\nport = 0\n'


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.usefixtures("torchy")
def test_a_machine_without_a_gpu(check):
    found, problems = check(table())
    assert problems == []
    state, finding = found["torch", "a"]
    assert state == "ok"
    assert finding.startswith(f"torch {torch.__version__}")
    assert finding.endswith("computes on cpu in float32")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.usefixtures("torchy")
def test_what_the_load_would_refuse_is_the_same_problem_at_check(check):
    found, problems = check(table('device = "cuda:9"'))
    assert problems == [("model", "a")]
    with pytest.raises(WorkerStartFailed) as refusal:
        find_placement(ModelConfig(name="a", device="cuda:9"))
    assert found["model", "a"][1] == refusal.value.message
    assert found["model", "a"][1].startswith("models.a.device is 'cuda:9', and torch finds no CUDA GPU here (")


CARD = {"name": "NVIDIA H200", "capability": "9.0", "total": 139 * GIB, "free": 100 * GIB}
ON_GPU = {
    "torch": "2.14.1+cu130",
    "cuda": "13.0",
    "driver": "580.65",
    "cards": [CARD],
    "placement": "cuda:0 in bfloat16",
}
ON_CPU = {"torch": "2.14.1+cpu", "missing": "torch 2.14.1+cpu is built without CUDA", "placement": "cpu in float32"}
OLD = {"name": "GTX 1080", "capability": "6.1", "total": 8 * GIB, "free": 8 * GIB}


@pytest.fixture
def answered(check, monkeypatch, tmp_path):
    """Check a model whose interpreter finds `machine`, on a machine with one GPU."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text('#!/bin/sh\necho "NVIDIA H200, 143771 MiB, 100000 MiB"\n')
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    def call(machine, line=""):
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps({'contract': 1, 'machine': machine})}\nEND\n")
        python.chmod(0o755)
        return check(f'[models.a]\nbackend = "tone"\npython = "python"\n{line}\n[server]\nport = 0\n')

    return call


def test_torch_driver_cards_and_memory(answered):
    found, problems = answered(ON_GPU)
    assert problems == []
    assert found["torch", "a"] == (
        "ok",
        "torch 2.14.1+cu130 for CUDA 13.0; driver 580.65; cuda:0 NVIDIA H200 (9.0, 139 GiB, 100 GiB free); "
        "computes on cuda:0 in bfloat16",
    )
    assert ("onnx", "a") not in found


def test_a_torch_for_the_cpu_beside_a_gpu_is_noted(answered):
    found, problems = answered(ON_CPU)
    assert (problems, found["torch", "a"][0]) == ([], "note")
    assert found["torch", "a"][1].endswith(
        "nvidia-smi shows 1 GPU, and this torch finds none: torch 2.14.1+cpu is built without CUDA"
    )
    assert answered(ON_CPU, 'device = "cpu"')[0]["torch", "a"][0] == "ok", "it was chosen"


def test_an_old_card_that_auto_passes_over_is_noted(answered):
    found, problems = answered({**ON_CPU, "torch": "2.14.1", "cuda": "13.0", "missing": "", "cards": [OLD]})
    assert (problems, found["torch", "a"][0]) == ([], "note")
    assert "GTX 1080 (6.1, 8.0 GiB, 8.0 GiB free)" in found["torch", "a"][1]
    assert "has no code for any of these cards" in found["torch", "a"][1]


def test_a_card_with_too_little_free_memory_is_noted(answered):
    found, problems = answered(ON_GPU, 'memory = "120 GiB"')
    assert (problems, found["torch", "a"][0]) == ([], "note")
    assert "its settings say 120 GiB, and cuda:0 has 100 GiB free" in found["torch", "a"][1]


def test_the_problem_that_the_interpreter_found_counts_and_not_the_numbers_of_nvidia_smi(answered):
    """CUDA_VISIBLE_DEVICES, or the parts of a card (MIG), give a worker other numbers."""
    _, problems = answered({**ON_GPU, "cards": [CARD] * 8, "placement": "cuda:7 in bfloat16"}, 'device = "cuda:7"')
    assert problems == []
    said = "models.a.device is 'cuda:0', and torch finds no CUDA GPU here (hidden); set it to auto or cpu"
    found, problems = answered({**ON_CPU, "placement": "", "problem": said}, 'device = "cuda:0"')
    assert (problems, found["model", "a"][1]) == ([("model", "a")], said)


ONNX = {
    "the CPU's build": (
        {"version": "1.24"},
        "note",
        r"is the build for the CPU: .* install 'tone-plugin\[cuda\]'",
    ),
    "a provider that does not start": (
        {"version": "1.24", "offered": True},
        "note",
        "cannot start its CUDA provider.* are computed on the CPU",
    ),
    "on the GPU": ({"version": "1.24", "offered": True, "works": True}, "ok", "computes with CUDA"),
}


@pytest.mark.parametrize(("onnx", "state", "words"), ONNX.values(), ids=ONNX)
def test_parts_in_onnx_that_fall_back_to_the_cpu_are_noted(answered, monkeypatch, onnx, state, words):
    monkeypatch.setattr("hub.cli.findings._home", lambda plugins, spec: "tone-plugin")
    monkeypatch.setattr("hub.cli.machine_findings._extras", lambda distribution: ["cuda"])
    found, problems = answered({**ON_GPU, "onnx": onnx})
    assert (problems, found["onnx", "a"][0]) == ([], state)
    assert re.search(words, found["onnx", "a"][1])
    assert ("onnx", "a") not in answered({**ON_CPU, "onnx": onnx})[0], "the model is on the CPU as a whole"


@pytest.mark.parametrize("answer", ["", "hello", "[1]"])
def test_a_program_that_is_no_interpreter(check, tmp_path, answer):
    (tmp_path / "python").write_text(f"#!/bin/sh\necho '{answer}'\n")
    (tmp_path / "python").chmod(0o755)
    found, problems = check('[models.a]\nbackend = "tone"\npython = "python"\n[server]\nport = 0\n')
    assert problems == [("model", "a")]
    assert "is no interpreter with tts-hub" in found["model", "a"][1]


def test_a_backend_with_rules_of_its_own_is_asked():
    def place(model):
        raise WorkerStartFailed(f"models.{model.name}.dtype is {model.dtype!r}, and so on")

    found = machines.machine(ModelConfig(name="a", dtype="float16"), place)
    assert (found.placement, found.problem) == ("", "models.a.dtype is 'float16', and so on")
    assert machines.machine(ModelConfig(name="a"), None).placement == ""


class Runtime:
    """ONNX Runtime with CUDA, which starts or does not."""

    __version__ = "1.24"

    def __init__(self, *, starts):
        self.starts = starts

    def get_available_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, model, providers):  # noqa: N802
        import onnxruntime

        onnxruntime.InferenceSession(model, providers=providers[1:])  # the model is one
        return SimpleNamespace(get_providers=lambda: providers if self.starts else providers[1:])


@pytest.mark.parametrize("starts", [True, False])
def test_onnx_runtime_is_tried_and_not_believed(starts):
    assert machines._onnx(Runtime(starts=starts), try_cuda=True) == Onnx(version="1.24", offered=True, works=starts)


def test_onnx_runtime_as_it_is_here():
    import onnxruntime

    offered = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    assert machines._onnx(onnxruntime, try_cuda=False) == Onnx(version=onnxruntime.__version__, offered=offered)
    assert machines._onnx(None, try_cuda=True) is None
