"""torch's switches for CUDA, and sums in an order of their own."""

import pytest
import torch

from hub.nn import precision
from hub.nn.precision import TILE, running_sum, settle_precision


@pytest.fixture
def switches():
    """Read torch's switches; they are as before after the test."""
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul

    def read():
        return cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, products.allow_tf32

    before = read()
    yield read
    cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, products.allow_tf32 = before


def test_kernels_are_deterministic_and_float32_is_whole(switches):
    torch.backends.cudnn.benchmark = torch.backends.cudnn.allow_tf32 = True
    settle_precision()
    assert switches() == (True, False, False, False)


def test_a_worker_of_decoders_may_take_tf32(switches):
    settle_precision(tf32=True)
    assert switches() == (True, False, True, True)


def test_the_cpu_sums_as_it_always_did():
    values = torch.rand(155_776)
    assert torch.equal(running_sum(values), values.cumsum(-1))


@pytest.mark.parametrize("length", [1, TILE, TILE + 1, 6_561, 155_776, TILE * TILE + 1])
def test_a_sum_by_tiles_is_the_sum(length):
    values = torch.rand(length, generator=torch.Generator().manual_seed(length)).softmax(-1).double()
    found = precision._by_tiles(values)
    assert found.shape == values.shape
    torch.testing.assert_close(found, values.cumsum(-1), rtol=1e-12, atol=1e-15)


def test_a_sum_by_tiles_keeps_other_axes():
    values = torch.rand(1, 1, 3_000, dtype=torch.double)
    torch.testing.assert_close(precision._by_tiles(values), values.cumsum(-1))
