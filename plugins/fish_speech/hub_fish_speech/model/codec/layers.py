"""Causal layers, channels last (the fastest for oneDNN), that continue where they stopped.

Audio and features are (B, T, C). Every layer is called as `layer(x, state)`: `state` belongs to one signal and holds
the part of its past that the layer still needs. A signal in pieces gives the same output as in one piece; the state of
the first piece is empty, which stands for zeros. Decoding a whole utterance, decoding it in windows of bounded memory,
and streaming are therefore the same code, and a layer itself holds no state of a signal.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = dict[nn.Module, Any]
"""The past of one signal, by layer."""


class Chain(nn.ModuleList):
    """Layers one after another."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(layers)

    def forward(self, x: Tensor, state: State) -> Tensor:
        """Feed each layer's output to the next one."""
        for layer in self:
            x = layer(x, state)
        return x


class CausalConv(nn.Module):
    """A convolution that sees the present and the past: `(kernel - 1) * dilation + 1 - stride` steps of it.

    With a stride, the pieces of a signal must be multiples of it; the last one may be shorter, and is filled up with
    zeros on the right.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride=stride, dilation=dilation, groups=groups)
        self.past = (kernel - 1) * dilation + 1 - stride
        self.pointwise = kernel == stride == 1
        self.packed = False

    def prepare(self) -> None:
        """Bring the loaded weights (out, in / groups, kernel) into the layout that is fastest on their device."""
        weight, stride, dilation = self.conv.weight.data, self.conv.stride[0], self.conv.dilation[0]
        if self.pointwise:
            weight = weight.squeeze(2)
        elif weight.is_cpu and self.conv.groups == 1 and _can_pack():
            shape = [1, weight.shape[1], 1, 64 * stride + self.past]  # the layout hardly depends on the length
            steps = [[0, 0], [1, stride], [1, dilation]]
            weight = torch.ops.mkldnn._reorder_convolution_weight(weight.unsqueeze(2), *steps, 1, shape)
            self.packed = True
        else:
            weight = weight.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        self.conv.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor, state: State) -> Tensor:
        """x (B, T, I) -> (B, ceil(T / stride), O)."""
        conv = self.conv
        if self.pointwise:
            return F.linear(x, conv.weight, conv.bias)
        if self.past:
            x = _with_past(x, self, self.past, state)
        if short := (x.shape[1] - self.past) % conv.stride[0]:
            x = F.pad(x, (0, 0, 0, conv.stride[0] - short))
        image = x.mT.unsqueeze(2)  # (B, I, 1, T): a picture of height 1, channels last in memory
        stride, dilation = [1, conv.stride[0]], [1, conv.dilation[0]]
        if self.packed:
            made = torch.ops.mkldnn._convolution_pointwise(
                image, conv.weight, conv.bias, [0, 0], stride, dilation, 1, "none", [], ""
            )
        else:
            made = F.conv2d(image, conv.weight, conv.bias, stride, 0, dilation, conv.groups)
        return made.squeeze(2).mT


class CausalTransposedConv(nn.Module):
    """A transposed convolution whose output is cut on the right to `stride` steps for each step of the input.

    As one matrix product for all taps, then the sum of `ceil(kernel / stride)` shifted parts, each from an older step.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(inputs, outputs, kernel, stride=stride)
        self.parts = -(-kernel // stride)

    def prepare(self) -> None:
        """Bring the loaded weights (in, out, kernel) into the layout of the matrix product."""
        weight = self.conv.weight.data
        weight = F.pad(weight, (0, self.parts * self.conv.stride[0] - weight.shape[2]))  # zeros for missing taps
        self.conv.weight = nn.Parameter(weight.permute(2, 1, 0).flatten(0, 1).contiguous(), requires_grad=False)

    def forward(self, x: Tensor, state: State) -> Tensor:
        """x (B, T, I) -> (B, T * stride, O)."""
        length, past, stride = x.shape[1], self.parts - 1, self.conv.stride[0]
        if past:
            x = _with_past(x, self, past, state)
        taps = F.linear(x, self.conv.weight).unflatten(2, (self.parts, stride, -1))
        made = taps[:, past:, 0] + self.conv.bias  # (B, T, stride, O)
        for age in range(1, self.parts):
            made += taps[:, past - age : past - age + length, age]
        return made.flatten(1, 2)


class Pointwise(nn.Conv1d):
    """A convolution of kernel 1 that needs no state."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1)

    def forward(self, x: Tensor, state: State | None = None) -> Tensor:
        """x (..., I) -> (..., O)."""
        return F.linear(x, self.weight.squeeze(2), self.bias)


class Snake(nn.Module):
    """x + sin(alpha x)^2 / alpha, per channel (https://arxiv.org/abs/2006.08195)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1), requires_grad=False)

    def forward(self, x: Tensor, state: State) -> Tensor:
        """(B, T, C) -> the same shape."""
        alpha = self.alpha.view(-1)
        wave = (x * alpha).sin_().square_()
        return torch.addcmul(x, wave, 1 / (alpha + 1e-9), out=wave)


class ConvNeXt(nn.Module):
    """Depthwise convolution, LayerNorm, and a fourfold MLP with a gain, added to the input."""

    def __init__(self, channels: int, kernel: int = 7) -> None:
        super().__init__()
        self.dwconv = CausalConv(channels, channels, kernel, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(torch.empty(channels), requires_grad=False)

    def forward(self, x: Tensor, state: State) -> Tensor:
        """(B, T, C) -> the same shape."""
        hidden = F.gelu(self.pwconv1(self.norm(self.dwconv(x, state))))
        return torch.addcmul(x, self.pwconv2(hidden), self.gamma)


def downsampler(dims: list[int], factors: tuple[int, ...]) -> Chain:
    """Strided convolutions, each with a ConvNeXt block: `dims[i]` channels -> `dims[i + 1]` at 1 / `factors[i]`."""
    return Chain(
        *(
            Chain(CausalConv(dims[i], dims[i + 1], factor, stride=factor), ConvNeXt(dims[i + 1]))
            for i, factor in enumerate(factors)
        )
    )


def upsampler(dims: list[int], factors: tuple[int, ...]) -> Chain:
    """The inverse of `downsampler`, in shapes."""
    return Chain(
        *(
            Chain(CausalTransposedConv(dims[i + 1], dims[i], factor, stride=factor), ConvNeXt(dims[i]))
            for i, factor in reversed(list(enumerate(factors)))
        )
    )


def prepare(module: nn.Module) -> None:
    """Bring the weights of all convolutions in `module` into the layout of their device."""
    for layer in module.modules():
        if isinstance(layer, CausalConv | CausalTransposedConv):
            layer.prepare()


def _with_past(x: Tensor, layer: nn.Module, past: int, state: State) -> Tensor:
    """x (B, T, C) after the `past` steps before it; keeps the last steps for the next call."""
    before = state.get(layer)
    if before is None:
        before = x.new_zeros(x.shape[0], past, x.shape[2])
    x = torch.cat((before, x), dim=1)
    state[layer] = x[:, -past:].clone()  # a view would keep all of x alive
    return x


def _can_pack() -> bool:
    """True if weights can be kept in oneDNN's own layout; else every call brings them into it."""
    tried = platform.machine() in ("x86_64", "AMD64")  # elsewhere oneDNN hands over to other libraries
    return tried and torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
