"""Parts in ONNX compute on the model's GPU where ONNX Runtime can, and say so where it cannot."""

import logging
from types import SimpleNamespace

import onnxruntime
import pytest
import torch
from hub_cosyvoice.model import features

from plugins.cosyvoice.tests.support.tiny_onnx import write_speech_tokenizer

GPU, CPU = torch.device("cuda", 1), torch.device("cpu")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "speech_tokenizer_v2.onnx"
    write_speech_tokenizer(path, 3, 8, stride=4)
    return path


@pytest.fixture
def runtime(monkeypatch):
    """ONNX Runtime with CUDA: `runtime(starts=True)` returns a list that fills with the providers asked for."""

    def put(*, starts):
        asked = []

        def open_session(path, sess_options, providers):
            asked.append(providers)
            onnxruntime.InferenceSession(path, sess_options, providers=["CPUExecutionProvider"])
            return SimpleNamespace(get_providers=lambda: ["CUDAExecutionProvider"] * starts + ["CPUExecutionProvider"])

        fake = SimpleNamespace(
            SessionOptions=onnxruntime.SessionOptions,
            InferenceSession=open_session,
            get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
            __version__="1.24",
        )
        monkeypatch.setattr(features, "onnxruntime", fake)
        return asked

    return put


def test_the_card_of_the_model_computes_without_tf32_and_without_a_search_for_each_length(runtime, file, caplog):
    asked = runtime(starts=True)
    features._open(file, GPU)
    ((provider, options), fallback) = asked[0]
    assert (provider, fallback) == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert (options["device_id"], options["use_tf32"], options["cudnn_conv_algo_search"]) == (1, 0, "HEURISTIC")
    assert caplog.text == ""
    features._open(file, CPU)
    assert asked[1] == ["CPUExecutionProvider"]


def test_a_provider_that_does_not_start_is_said_in_the_log(runtime, file, caplog):
    runtime(starts=False)
    with caplog.at_level(logging.WARNING):
        features._open(file, GPU)
    assert "speech_tokenizer_v2.onnx is computed on the CPU by onnxruntime 1.24" in caplog.text
    assert "does not start" in caplog.text


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="the build with CUDA")
def test_the_build_for_the_cpu_is_said_in_the_log_and_computes(file, caplog):
    with caplog.at_level(logging.WARNING):
        session = features._open(file, GPU)
    assert session.get_providers() == ["CPUExecutionProvider"]
    assert "the build for the CPU: see the extra [cuda]" in caplog.text
