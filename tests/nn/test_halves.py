"""Weights kept in half precision give what float32 gives, and only those are kept so that lose nothing."""

import pytest
import torch
from torch.nn import functional as F

from hub.nn.halves import fits, half_linear


@pytest.mark.parametrize("rows", [(1,), (3,), (2, 5), (40,)], ids=str)
@pytest.mark.parametrize("with_bias", [True, False])
def test_the_product_is_that_of_float32(rows, with_bias):
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(37, 50, generator=generator).half().float()
    weight[0, :3] = torch.tensor([6e-8, -3e-6, 65504.0])  # the ends of what half precision holds
    weight[0] = weight[0].half().float()
    bias = torch.randn(37, generator=generator) if with_bias else None
    layer = half_linear(weight, bias)
    if layer is None:
        pytest.skip("torch is built without FBGEMM, or the CPU has no AVX2")
    x = torch.randn(*rows, 50, generator=generator)
    exact = F.linear(x.double(), weight.double(), None if bias is None else bias.double())
    torch.testing.assert_close(layer(x).double(), exact, rtol=1e-5, atol=1e-5)
    assert torch.equal(layer(x), layer(x.clone()))


@pytest.mark.parametrize("odd", [1 / 3, 1e-9, 70000.0])
def test_weights_that_half_precision_would_change_stay_as_they_are(odd):
    weight = torch.ones(4, 8)
    assert fits(weight)
    weight[2, 5] = odd
    assert not fits(weight)
    assert half_linear(weight) is None


def test_only_float32_on_a_cpu():
    assert half_linear(torch.ones(4, 8, dtype=torch.bfloat16)) is None
    assert half_linear(torch.ones(4, 8, device="meta")) is None
