"""Causal convolutions that stream: pieces through with a state give what the whole gives at once.

An output depends on inputs up to its own time only. Without a state the layers work on a whole signal that starts
from silence. With a `ConvState` they go on where the last piece ended; a state belongs to one stream and is passed
down through a network's `forward`, so the modules themselves hold nothing of a request.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ConvState = dict[nn.Module, Tensor]
"""What each layer keeps between two pieces of one stream. Start a stream with an empty one."""


class CausalConv1d(nn.Conv1d):
    """Convolution padded on the left by (kernel - 1) * dilation + 1 - stride zeros: N samples -> N / stride.

    A whole signal whose length is no multiple of the stride is filled up with zeros on the right (EnCodec's rule:
    ceil(N / stride) outputs). A piece of a stream must be a multiple of the stride, a ValueError otherwise.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride=stride, dilation=dilation, groups=groups, bias=bias
        )
        self.context = (kernel_size - 1) * dilation + 1 - stride
        if self.context < 0:
            raise ValueError(f"a kernel of {kernel_size} skips samples at stride {stride}")

    def forward(self, x: Tensor, state: ConvState | None = None) -> Tensor:
        """(B, C, N) -> (B, C', N / stride)."""
        stride = self.stride[0]
        rest = -x.shape[-1] % stride
        if state is None:
            return super().forward(F.pad(x, (self.context, rest)))
        if rest:
            raise ValueError(f"a piece of {x.shape[-1]} samples at stride {stride}")
        past = state.get(self)
        if past is None:
            past = x.new_zeros(x.shape[0], x.shape[1], self.context)
        joined = torch.cat((past, x), -1)
        state[self] = joined[..., joined.shape[-1] - self.context :].clone()
        if not x.shape[-1]:
            return x.new_zeros(x.shape[0], self.out_channels, 0)
        return super().forward(joined)


class CausalConvTranspose1d(nn.ConvTranspose1d):
    """Transposed convolution whose last kernel - stride samples, which later input would still change, are cut off:
    N samples -> N * stride. In a stream they are kept and added to the next piece.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, groups=groups, bias=bias)
        self.overlap = kernel_size - stride
        if self.overlap < 0:
            raise ValueError(f"a kernel of {kernel_size} leaves holes at stride {stride}")

    def forward(self, x: Tensor, state: ConvState | None = None) -> Tensor:  # type: ignore[override]
        """(B, C, N) -> (B, C', N * stride)."""
        length = x.shape[-1] * self.stride[0]
        if state is None:
            return super().forward(x)[..., :length]
        if not length:
            return x.new_zeros(x.shape[0], self.out_channels, 0)
        raw = F.conv_transpose1d(x, self.weight, None, self.stride, groups=self.groups)
        if self.overlap:
            tail = state.get(self)
            if tail is not None:
                raw[..., : self.overlap] += tail
            state[self] = raw[..., length:].clone()
        ready = raw[..., :length]
        return ready if self.bias is None else ready + self.bias[:, None]
