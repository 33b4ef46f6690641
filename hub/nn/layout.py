"""How weights lie in memory.

Decoding multiplies one row with every weight, and takes as long as reading them. On a CPU, weights with more outputs
than inputs are read 1.3 to 1.5 times as fast when the outputs of an input lie together (MKL on AVX2: 1024 -> 6144 in
1.08 ms instead of 1.51); the other way round it is slower.
"""

from __future__ import annotations

from torch import Tensor


def laid_out(weight: Tensor) -> Tensor:
    """`weight` (out, in), of the same shape and values, lying as its device reads it fastest; itself if it does."""
    outputs, inputs = weight.shape
    if weight.device.type != "cpu" or outputs <= inputs:
        return weight
    return weight.t().contiguous().t()
