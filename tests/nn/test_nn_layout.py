"""Weights that lie otherwise are the same weights."""

import torch
from torch.nn import functional as F

from hub.nn.layout import laid_out, lay_out


def test_the_numbers_stay_and_only_wide_weights_are_turned():
    generator = torch.Generator().manual_seed(1)
    for outputs, inputs, turned in ((48, 16, True), (16, 48, False), (16, 16, False)):
        weight = torch.randn(outputs, inputs, generator=generator)
        found = laid_out(weight)
        assert torch.equal(found, weight)
        assert found.is_contiguous() is not turned
        assert laid_out(found).stride() == found.stride()
        x = torch.randn(1, inputs, generator=generator)
        assert torch.allclose(F.linear(x, found), F.linear(x, weight), atol=1e-5)


def test_a_model_is_laid_out_in_place_and_answers_the_same():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 7), torch.nn.GELU(), torch.nn.Linear(7, 2))
    row = torch.randn(1, 3)
    before = model(row)
    lay_out(model, torch.device("cpu"))
    assert model[0].weight.stride() == (1, 7)
    assert model[2].weight.is_contiguous()
    assert model[0].weight.requires_grad
    torch.testing.assert_close(model(row), before)
