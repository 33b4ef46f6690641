"""Attention's parts against their definitions, written out."""

import math

import pytest
import torch
from torch.nn import functional as F

from hub.nn.attention import (
    RMSNorm,
    attend,
    causal_mask,
    rotary_frequencies,
    rotary_table,
    rotate_half_split,
    rotate_interleaved,
)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(3)


def test_rms_norm_is_torchs_and_keeps_a_float32_core():
    norm = RMSNorm(16, eps=1e-5)
    norm.weight.data.normal_()
    x = torch.randn(2, 5, 16) * 30
    assert torch.allclose(norm(x), F.rms_norm(x, (16,), norm.weight, 1e-5), atol=1e-6)
    half = norm.to(torch.bfloat16)
    big = (x * 1e20).bfloat16()  # its square is beyond bfloat16's neighbours, not beyond float32's
    wide = big.float()
    expected = (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5)).bfloat16() * half.weight
    assert half(big).dtype == torch.bfloat16
    assert torch.equal(half(big), expected)


def turned_pairs(x, base, pairs):
    """Rotary positions, one complex number at a time."""
    out = x.clone()
    width = x.shape[-1]
    for t in range(x.shape[-2]):
        for i, (a, b) in enumerate(pairs):
            angle = t * base ** (-2 * i / width)
            out[..., t, a] = x[..., t, a] * math.cos(angle) - x[..., t, b] * math.sin(angle)
            out[..., t, b] = x[..., t, b] * math.cos(angle) + x[..., t, a] * math.sin(angle)
    return out


def test_both_rotary_layouts_turn_their_own_pairs():
    x = torch.randn(2, 3, 7, 8)
    table = rotary_table(7, rotary_frequencies(8, 1000.0))
    assert torch.allclose(
        rotate_interleaved(x, table), turned_pairs(x, 1000.0, [(2 * i, 2 * i + 1) for i in range(4)]), atol=1e-5
    )
    assert torch.allclose(
        rotate_half_split(x, table), turned_pairs(x, 1000.0, [(i, i + 4) for i in range(4)]), atol=1e-5
    )


def test_a_table_of_chosen_positions_and_of_a_batch():
    frequencies = rotary_frequencies(8)
    whole = rotary_table(10, frequencies)
    assert torch.equal(rotary_table(torch.tensor([7, 2]), frequencies), whole[[7, 2]])
    x = torch.randn(2, 3, 1, 8)
    apart = torch.stack([rotate_interleaved(x[i], whole[p : p + 1]) for i, p in enumerate((7, 2))])
    together = rotate_interleaved(x, whole[[7, 2]][:, None, None])
    assert torch.equal(apart, together)


def test_a_rounded_table_is_rounded_for_every_type():
    table = rotary_table(50, rotary_frequencies(8), rounded_to=torch.bfloat16)
    exact = rotary_table(50, rotary_frequencies(8))
    assert table.dtype == torch.float32
    assert torch.equal(table, exact.bfloat16().float())
    assert not torch.equal(table, exact)


def attended(query, key, value, seen, scale):
    share = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(share, 1), value.repeat_interleave(share, 1)
    scores = (query @ key.transpose(-1, -2) * scale).masked_fill(~seen, -float("inf"))
    return scores.softmax(-1) @ value


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize(("steps", "keys"), [(5, 5), (1, 7), (3, 7)])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_grouped_attention_sees_what_it_should(heads, groups, steps, keys, scale):
    query = torch.randn(2, heads, steps, 8)
    key, value = torch.randn(2, 2, groups, keys, 8).unbind(0)
    seen = torch.ones(steps, keys, dtype=torch.bool).tril(keys - steps)
    used = 8**-0.5 if scale is None else scale
    expected = attended(query, key, value, seen, used)
    assert torch.allclose(attend(query, key, value, causal=True, scale=scale), expected, atol=1e-5)
    assert torch.allclose(attend(query, key, value, mask=seen, scale=scale), expected, atol=1e-5)
    everything = attended(query, key, value, torch.ones_like(seen), used)
    assert torch.allclose(attend(query, key, value, scale=scale), everything, atol=1e-5)


def test_one_query_obeys_masks_per_row_and_per_head():
    query, key, value = torch.randn(2, 4, 1, 8), torch.randn(2, 2, 6, 8), torch.randn(2, 2, 6, 8)
    per_row = (torch.arange(6) < torch.tensor([4, 6])[:, None])[:, None, None]  # (2, 1, 1, 6)
    assert torch.allclose(
        attend(query, key, value, mask=per_row), attended(query, key, value, per_row, 8**-0.5), atol=1e-5
    )
    per_head = torch.rand(2, 4, 1, 6) > 0.3
    per_head[..., 0] = True
    assert torch.allclose(
        attend(query, key, value, mask=per_head), attended(query, key, value, per_head, 8**-0.5), atol=1e-5
    )


def test_a_mask_and_causal_together_are_refused():
    x = torch.randn(1, 1, 3, 4)
    with pytest.raises(ValueError, match="not both"):
        attend(x, x, x, mask=torch.ones(3, 3, dtype=torch.bool), causal=True)


def test_a_causal_window():
    assert causal_mask(3, 5, window=2).int().tolist() == [[0, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 1]]
    assert torch.equal(causal_mask(4, 4), torch.ones(4, 4, dtype=torch.bool).tril())
