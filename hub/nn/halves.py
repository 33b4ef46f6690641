"""Matrix products with weights that stay in half precision, on a CPU.

Decoding takes as long as reading the weights. Those of files in half precision are half as long as the float32 that a
CPU computes with; FBGEMM reads them so and widens them in its registers. Nothing is rounded: only weights that half
precision holds exactly are kept in it. Against float32, AVX2, one thread, 2048 x 512 beside others of a model: one row
1.2 times as fast, two to eight rows 2 to 3 times, hundreds as fast.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

ENGINES = ("x86", "fbgemm")
"""Those of torch's engines for quantised arithmetic that multiply so."""


class HalfLinear(nn.Module):
    """y = x W^T + b in float32, with W in half precision. Made by `half_linear`; for inference only."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """Packs `weight` (out, in). Raises RuntimeError where torch or the CPU cannot do it."""
        super().__init__()
        self._packed = torch.ops.quantized.linear_prepack_fp16(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return cast(Tensor, torch.ops.quantized.linear_dynamic_fp16(x, self._packed))


def half_linear(weight: Tensor, bias: Tensor | None = None) -> HalfLinear | None:
    """The product with `weight` (out, in) and `bias` (out,); None where it would not be exact, or cannot be had."""
    if weight.device.type != "cpu" or weight.dtype != torch.float32 or not fits(weight):
        return None
    if torch.backends.quantized.engine not in ENGINES:
        return None
    try:
        return HalfLinear(weight.detach(), None if bias is None else bias.detach())
    except RuntimeError:  # a CPU without AVX2, a torch without FBGEMM
        return None


def fits(weight: Tensor) -> bool:
    """Whether half precision holds every number of it exactly."""
    return torch.equal(weight.half().to(weight.dtype), weight)
