"""Weights that lie otherwise are the same weights."""

import pytest
import torch
from torch.nn import functional as F

from hub.nn.layout import as_picture, as_signal, convolve, laid_out, lay_out, lay_out_convolutions


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


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Conv1d(6, 9, 7, padding=9, dilation=3),
        torch.nn.Conv1d(6, 4, 3, stride=2, groups=2, bias=False),
        torch.nn.ConvTranspose1d(6, 4, 8, 2, padding=3),
        torch.nn.ConvTranspose1d(6, 4, 5, 3, padding=1, output_padding=2, bias=False),
    ],
    ids=str,
)
def test_a_signal_is_convolved_as_a_picture_with_the_same_result(layer):
    x = torch.randn(2, 6, 41, generator=torch.Generator().manual_seed(2))
    expected = layer(x)
    lay_out_convolutions(layer, torch.device("cpu"))
    picture = as_picture(x)
    assert picture.shape == (2, 6, 1, 41)
    for found in (convolve(layer, x), as_signal(convolve(layer, picture))):
        assert found.shape == expected.shape
        torch.testing.assert_close(found, expected)
    assert layer.weight.requires_grad
