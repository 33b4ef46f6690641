"""Matrix products with weights that stay in half precision, on a CPU.

Decoding takes as long as reading the weights. Weights from a file in half precision take half the space of the float32
that a CPU computes with; FBGEMM reads them like that and widens them in its registers. Nothing is rounded: only weights
that half precision holds exactly are kept in it. Compared with float32 (AVX2, one thread, 2048 x 512 among the other
weights of a model), one row is 1.2 times as fast, two to eight rows are 2 to 3 times as fast, hundreds equally fast.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

ENGINES = ("x86", "fbgemm")
"""The engines of torch for quantised arithmetic that support this product."""


class HalfLinear(nn.Module):
    """y = x W^T + b in float32, with W in half precision. Made by `half_linear`; for inference only."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Pack `weight` (out, in). Raises RuntimeError if torch or the CPU does not support it."""
        super().__init__()
        self._packed = torch.ops.quantized.linear_prepack_fp16(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return cast(Tensor, torch.ops.quantized.linear_dynamic_fp16(x, self._packed))


def half_linear(weight: Tensor, bias: Tensor | None = None) -> HalfLinear | None:
    """A layer for `weight` (out, in) and `bias` (out,); None if it would not be exact, or is not supported here."""
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not fits(weight):
        return None
    if torch.backends.quantized.engine not in ENGINES:
        return None
    try:
        return HalfLinear(weight.detach(), None if bias is None else bias.detach())
    except RuntimeError:  # a CPU without AVX2, a torch without FBGEMM
        return None


def fits(weight: Tensor) -> bool:
    """True if half precision holds every number of `weight` exactly."""
    return torch.equal(weight.half().to(weight.dtype), weight)
