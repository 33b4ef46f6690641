"""The flow's estimator in CUDA graphs, on a pretend GPU: padded passes equal plain ones, a capture a length."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from hub_cosyvoice.model.flow.captured import Captured
from torch import Tensor

from hub.testing.pretend_gpu import pretend_gpu


@dataclass
class Conditions:
    axis: ClassVar[int] = 2
    mu: Tensor


def estimator(x, conditions, times, mask, past):
    """Attend evenly to what the mask shows: a frame depends on others through the mask alone."""
    shown = mask.to(x.dtype)
    return (x + conditions.mu) @ (shown / shown.sum(-1, keepdim=True)).T * times[0]


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_padded_passes_equal_plain_ones(device):
    torch.manual_seed(0)
    cases = [(torch.randn(1, 80, frames), torch.randn(1, 80, frames), torch.rand(1)) for frames in (40, 64, 100, 50)]
    wanted = [
        estimator(x, Conditions(mu), (time,), torch.ones(2 * x.shape[2:], dtype=torch.bool), None)
        for x, mu, time in cases
    ]
    with pretend_gpu() as gpu, torch.inference_mode():
        captured = Captured(estimator)
        found = [
            captured(x.to(device), Conditions(mu.to(device)), (time.to(device),), None, None).cpu()
            for x, mu, time in cases
        ]
        captures = gpu.counts.captures
    assert captures == 2  # of 64 and of 128 frames
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
