"""The layout of weights in memory.

Decoding multiplies one row with every weight, and takes as long as reading them. On a CPU, a matrix with more outputs
than inputs is read 1.3 to 1.5 times as fast if the outputs of an input are adjacent (MKL on AVX2: 1024 -> 6144 in
1.08 ms instead of 1.51); a matrix with fewer outputs is then slower.

Convolutions over time, on a CPU: the fast kernels of oneDNN are for pictures whose channels are adjacent, and a signal
(B, C, 1, T) is such a picture. With 16 to 256 channels, AVX2, one thread: 70 to 95 GFLOP/s; `conv1d` has 35 to 80.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def laid_out(weight: Tensor) -> Tensor:
    """`weight` (out, in) with the same shape and values, in the layout that its device reads fastest. May be itself."""
    outputs, inputs = weight.shape
    if weight.device.type != "cpu" or outputs <= inputs:
        return weight
    return weight.t().contiguous().t()


def lay_out(model: nn.Module, device: torch.device) -> None:
    """Apply `laid_out` to the weights of all linear layers of `model`, in place. Does nothing on a GPU."""
    if device.type != "cpu":
        return
    for module in model.modules():
        if isinstance(module, nn.Linear):
            weight = module.weight
            module.weight = nn.Parameter(laid_out(weight.detach()), requires_grad=weight.requires_grad)


def as_picture(x: Tensor) -> Tensor:
    """A signal (B, C, T) in the form that its device convolves fastest.

    On a CPU (B, C, 1, T) with adjacent channels; elsewhere the signal itself.
    """
    if x.device.type != "cpu":
        return x
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


def as_signal(x: Tensor) -> Tensor:
    """The inverse of `as_picture`: the signal (B, C, T)."""
    return x if x.dim() == 3 else x.squeeze(2)


def convolve(layer: nn.Conv1d | nn.ConvTranspose1d, x: Tensor) -> Tensor:
    """`layer` over a signal (B, C, T) or its picture (B, C, 1, T) -> the same form. Zero padding only."""
    if x.dim() == 3:
        return layer(x)
    weight = layer.weight.unsqueeze(2)
    stride, padding, dilation = (1, layer.stride[0]), (0, int(layer.padding[0])), (1, layer.dilation[0])
    if isinstance(layer, nn.ConvTranspose1d):
        more = (0, layer.output_padding[0])
        return F.conv_transpose2d(x, weight, layer.bias, stride, padding, more, layer.groups, dilation)
    return F.conv2d(x, weight, layer.bias, stride, padding, dilation, layer.groups)


def lay_out_convolutions(model: nn.Module, device: torch.device) -> None:
    """Lay out the weights of all convolutions of `model` for `convolve` on a CPU, in place. Does nothing on a GPU."""
    if device.type != "cpu":
        return
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            weight = module.weight
            laid = weight.detach().transpose(1, 2).contiguous().transpose(1, 2)
            module.weight = nn.Parameter(laid, requires_grad=weight.requires_grad)
