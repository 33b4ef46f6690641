"""The two ONNX models of a checkpoint, tiny and with random weights: inputs and outputs as in the releases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper
from torch import Tensor

OPSET = helper.make_opsetid("", 17)
IR_VERSION = 8
"""Old enough for every onnxruntime that the plugin takes."""


def write_campplus(file: Path) -> None:
    """The speaker encoder: fbank (1, T, 80) -> embedding (1, 192)."""
    nodes = [
        helper.make_node("MatMul", ["input", "weight"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("ReduceMean", ["active"], ["output"], axes=[1], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, "T", 80])]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 192])]
    write(file, nodes, inputs, outputs, {"weight": torch.randn(80, 192) / 80**0.5})


def write_speech_tokenizer(file: Path, levels: int, digits: int, *, stride: int) -> None:
    """The speech tokenizer: Whisper's log mel (1, 128, T) and its length (1,) -> ids (1, T / stride).

    A convolution, rounded to `digits` numbers of so many `levels`, which are the digits of the id.
    """
    nodes = [
        helper.make_node("Conv", ["feats", "weight"], ["hidden"], kernel_shape=[stride], strides=[stride]),
        helper.make_node("Sigmoid", ["hidden"], ["unit"]),
        helper.make_node("Mul", ["unit", "most"], ["scaled"]),
        helper.make_node("Round", ["scaled"], ["rounded"]),
        helper.make_node("Mul", ["rounded", "values"], ["parts"]),
        helper.make_node("ReduceSum", ["parts", "axis"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["indices"], to=TensorProto.INT32),
    ]
    inputs = [
        helper.make_tensor_value_info("feats", TensorProto.FLOAT, [1, 128, "T"]),
        helper.make_tensor_value_info("feats_length", TensorProto.INT32, [1]),
    ]
    outputs = [helper.make_tensor_value_info("indices", TensorProto.INT32, [1, "N"])]
    weights = {
        "weight": torch.randn(digits, 128, stride) / 4,
        "most": torch.tensor(levels - 1.0),
        "values": levels ** torch.arange(digits).float()[:, None],
        "axis": torch.tensor([1]),
    }
    write(file, nodes, inputs, outputs, weights)


def write(
    file: Path,
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    weights: dict[str, Tensor],
) -> None:
    held = [numpy_helper.from_array(value.numpy(), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, file.stem, inputs, outputs, initializer=held)
    model = helper.make_model(graph, opset_imports=[OPSET], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
