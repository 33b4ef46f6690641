"""How weights lie in memory, for decoding on a CPU.

A decoding step multiplies one row with every weight, and its time is that of reading them. Weights with more outputs
than inputs are read 1.5 times as fast when the outputs of an input lie together (measured with MKL on AVX2: 896 -> 4864
in 0.76 ms instead of 1.14; the other way round, 4864 -> 896, it is slower). The numbers stay the same.
"""

from __future__ import annotations

import torch
from torch import nn


def lay_out(model: nn.Module, device: torch.device) -> None:
    """Turn the weights of `model` that gain from it, in place; on a GPU nothing is done. Their shapes stay."""
    if device.type != "cpu":
        return
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.out_features > module.in_features:
            turned = module.weight.detach().t().contiguous().t()
            module.weight = nn.Parameter(turned, requires_grad=module.weight.requires_grad)
