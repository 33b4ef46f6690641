"""Sampling: every cut against its definition, and draws that follow the distribution and the seed."""

import pytest
import torch

from hub.nn.sampling import (
    draw,
    exponential_noise,
    keep_nucleus,
    keep_top_k,
    penalize,
    request_generator,
    warm,
)

LOGITS = torch.tensor([0.5, 0.2, 0.15, 0.1, 0.05]).log()


def kept(logits):
    return (logits > -float("inf")).nonzero()[:, 0].tolist()


def test_a_penalty_is_given_once_and_pulls_towards_unlikely():
    logits = torch.tensor([[2.0, -2.0, 1.0]])
    found = penalize(logits, torch.tensor([[0, 1, 1, 0]]), 2.0)
    assert found.tolist() == [[1.0, -4.0, 1.0]]
    assert logits.tolist() == [[2.0, -2.0, 1.0]], "the logits given stay as they are"
    assert torch.equal(penalize(logits, torch.zeros(1, 0), 2.0), logits)


def test_temperature_has_a_floor():
    assert torch.equal(warm(LOGITS, 0.5), LOGITS / 0.5)
    assert torch.equal(warm(LOGITS, 0.0), LOGITS / 1e-5)
    assert torch.equal(warm(LOGITS, torch.tensor([0.0])), LOGITS / 1e-5)


def test_top_k_keeps_ties():
    assert kept(keep_top_k(LOGITS, 2)) == [0, 1]
    assert kept(keep_top_k(torch.tensor([1.0, 3.0, 1.0, 0.0]), 2)) == [0, 1, 2]
    assert keep_top_k(LOGITS, 9) is LOGITS
    with pytest.raises(ValueError, match="top_k"):
        keep_top_k(LOGITS, 0)


@pytest.mark.parametrize(
    ("top_p", "with_crossing", "without"),
    [(0.6, [0, 1], [0]), (0.72, [0, 1, 2], [0, 1]), (0.3, [0], [0]), (1.1, [0, 1, 2, 3, 4], [0, 1, 2, 3, 4])],
)
def test_the_nucleus_with_and_without_the_id_that_crosses(top_p, with_crossing, without):
    shuffled = torch.tensor([3, 0, 4, 2, 1])
    back = shuffled.argsort()
    for crossing, wanted in ((True, with_crossing), (False, without)):
        assert kept(keep_nucleus(LOGITS, top_p, crossing=crossing)) == wanted
        found = keep_nucleus(LOGITS[shuffled], torch.tensor(top_p), crossing=crossing)
        assert kept(found[back]) == wanted
    assert kept(keep_nucleus(LOGITS, 1.1, crossing=True, top_k=3)) == [0, 1, 2]
    assert kept(keep_nucleus(torch.zeros(4), 1.1, crossing=False, top_k=2)) == [0, 1], "ties go to lower ids"


def test_the_nucleus_is_transformers_where_that_is_installed():
    transformers = pytest.importorskip("transformers")
    logits = torch.randn(20, 50, generator=torch.Generator().manual_seed(1)) * 3
    for top_p in (0.2, 0.8, 0.95):
        theirs = transformers.TopPLogitsWarper(top_p)(None, logits)
        assert torch.equal(keep_nucleus(logits, top_p, crossing=True), theirs)


def test_draws_follow_the_distribution():
    noise = exponential_noise((20000, 5), request_generator(1))
    shares = draw(LOGITS.softmax(-1).expand(20000, 5), noise).bincount(minlength=5) / 20000
    assert torch.allclose(shares, LOGITS.softmax(-1), atol=0.015)
    never = keep_top_k(LOGITS, 2).softmax(-1).expand(20000, 5)
    assert draw(never, noise).max() == 1


def test_a_row_draws_the_same_in_any_batch():
    alone = exponential_noise((3, 8), request_generator(5))
    batch = [request_generator(seed) for seed in (4, 5, 6)]
    steps = [exponential_noise((3, 8), batch) for _ in range(3)]
    assert torch.equal(torch.stack([step[1] for step in steps]), alone)
    with pytest.raises(ValueError, match="3 rows, 2 generators"):
        exponential_noise((3, 8), batch[:2])


def test_seeds_repeat_and_no_seed_does_not():
    def first(seed):
        return torch.rand(4, generator=request_generator(seed)).tolist()

    assert first(7) == first(7)
    assert first(7) != first(8)
    assert first(None) != first(None)
    state = torch.random.get_rng_state()
    first(7)
    assert torch.equal(torch.random.get_rng_state(), state), "nobody else's generator is touched"
