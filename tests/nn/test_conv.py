"""Causal convolutions: the padding that they stand for, and pieces that give what the whole gives."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hub.nn.conv import CausalConv1d, CausalConvTranspose1d, ConvState


@pytest.fixture(autouse=True)
def _no_grad():
    torch.manual_seed(1)
    with torch.inference_mode():
        yield


class Net(nn.Module):
    """Down by 2, a dilated layer, up by 4: as a codec has them."""

    def __init__(self):
        super().__init__()
        self.down = CausalConv1d(3, 8, 4, stride=2)
        self.wide = CausalConv1d(8, 8, 7, dilation=3, groups=8)
        self.up = CausalConvTranspose1d(8, 2, 8, stride=4)
        self.bare = CausalConvTranspose1d(2, 2, 2, stride=2, bias=False)
        self.out = CausalConv1d(2, 1, 1, bias=False)

    def forward(self, x, state=None):
        for layer in (self.down, self.wide, self.up, self.bare, self.out):
            x = torch.tanh(layer(x, state))
        return x


@pytest.mark.parametrize("sizes", [[40], [2] * 20, [0, 2, 18, 0, 20], [38, 2]], ids=str)
def test_pieces_give_what_the_whole_gives(sizes):
    net, x = Net(), torch.randn(2, 3, 40)
    whole = net(x)
    assert whole.shape == (2, 1, 160)
    state: ConvState = {}
    pieces = [net(piece, state) for piece in x.split(sizes, -1)]
    assert [piece.shape[-1] for piece in pieces] == [4 * size for size in sizes]
    assert torch.allclose(torch.cat(pieces, -1), whole, atol=1e-6)
    assert torch.equal(net(x), whole), "the net itself keeps nothing"


def test_two_streams_do_not_meet():
    net, (a, b) = Net(), torch.randn(2, 1, 3, 20).unbind(0)
    of_a: ConvState = {}
    of_b: ConvState = {}
    found = []
    for i in range(0, 20, 4):
        found.append((net(a[..., i : i + 4], of_a), net(b[..., i : i + 4], of_b)))
    assert torch.allclose(torch.cat([pair[0] for pair in found], -1), net(a), atol=1e-6)
    assert torch.allclose(torch.cat([pair[1] for pair in found], -1), net(b), atol=1e-6)


def test_the_padding_is_what_the_documentation_says():
    layer, x = CausalConv1d(1, 1, 5, stride=2, dilation=2), torch.randn(1, 1, 11)
    expected = F.conv1d(F.pad(x, (8 + 1 - 2, 1)), layer.weight, layer.bias, 2, 0, 2)
    assert layer(x).shape[-1] == 6
    assert torch.equal(layer(x), expected)
    up = CausalConvTranspose1d(1, 1, 6, stride=3)
    assert torch.equal(up(x), F.conv_transpose1d(x, up.weight, up.bias, 3)[..., :33])


def test_nothing_looks_ahead():
    net, x = Net(), torch.randn(1, 3, 20)
    later = x.clone()
    later[..., 10:] += 1
    assert torch.equal(net(x)[..., :40], net(later)[..., :40])


def test_plain_checkpoints_fit():
    assert CausalConv1d(2, 3, 3).state_dict().keys() == nn.Conv1d(2, 3, 3).state_dict().keys()
    assert CausalConvTranspose1d(2, 3, 3).state_dict().keys() == nn.Conv1d(2, 3, 3).state_dict().keys()


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match="skips samples"):
        CausalConv1d(1, 1, 2, stride=4)
    with pytest.raises(ValueError, match="leaves holes"):
        CausalConvTranspose1d(1, 1, 2, stride=4)
    with pytest.raises(ValueError, match="3 samples at stride 2"):
        CausalConv1d(1, 1, 4, stride=2)(torch.zeros(1, 1, 3), {})
