"""Decoding: a cache filled step by step gives what the whole sequence gives, eagerly and as a graph would see it."""

import pytest
import torch

from hub.nn.attention import attend
from hub.nn.decode import KVCache, Stepper, prefix_length, prefix_mask

LAYERS, BATCH, HEADS, GROUPS, STEPS, DIM = 2, 2, 4, 2, 11, 8


@pytest.fixture
def tensors():
    """Queries, keys and values of every layer, (LAYERS, BATCH, heads, STEPS, DIM) each."""
    torch.manual_seed(5)
    return tuple(torch.randn(LAYERS, BATCH, heads, STEPS, DIM) for heads in (HEADS, GROUPS, GROUPS))


@pytest.fixture
def cache():
    return KVCache(layers=LAYERS, groups=GROUPS, length=STEPS, head_dim=DIM, batch=BATCH)


def test_a_prefill_and_single_steps_give_the_whole(tensors, cache):
    query, key, value = tensors
    for layer in range(LAYERS):
        whole = attend(query[layer], key[layer], value[layer], causal=True)
        found = []
        for start, end in ((0, 4), (4, 5), (5, 8), *((t, t + 1) for t in range(8, STEPS))):
            here = slice(start, end)
            keys, values = cache.write(layer, start, key[layer][:, :, here], value[layer][:, :, here])
            assert keys.shape == (BATCH, GROUPS, end, DIM)
            assert keys.data_ptr() == cache.keys[layer].data_ptr(), "a view"
            found.append(attend(query[layer][:, :, here], keys, values, causal=True))
        assert torch.allclose(torch.cat(found, 2), whole, atol=1e-6)


def test_a_padded_prefix_under_a_mask_gives_the_whole(tensors, cache):
    query, key, value = tensors
    cache.keys.fill_(7.0)  # what stands beyond the filled part must not be seen
    whole = attend(query[1], key[1], value[1], causal=True)
    for t in range(STEPS):
        positions = torch.tensor([t])
        prefix = prefix_length(t + 1, cache.length, smallest=4)
        keys, values = cache.write_at(1, positions, key[1][:, :, t : t + 1], value[1][:, :, t : t + 1], prefix)
        assert keys.shape[2] == prefix
        found = attend(query[1][:, :, t : t + 1], keys, values, mask=prefix_mask(positions, prefix))
        assert torch.allclose(found, whole[:, :, t : t + 1], atol=1e-6)


def test_a_cache_knows_its_end(cache):
    with pytest.raises(ValueError, match="12 positions do not fit into a cache of 11"):
        cache.write(0, 11, torch.zeros(BATCH, GROUPS, 1, DIM), torch.zeros(BATCH, GROUPS, 1, DIM))
    with pytest.raises(ValueError, match="12 positions do not fit into a cache of 11"):
        prefix_length(12, 11)


def test_prefixes_come_in_few_lengths():
    lengths = [prefix_length(filled, 1000) for filled in range(1, 1001)]
    assert sorted(set(lengths)) == [128, 256, 512, 1000]
    assert all(length >= filled for filled, length in enumerate(lengths, 1))
    assert prefix_length(5, 60) == 60


def test_a_mask_shows_the_past():
    assert prefix_mask(torch.tensor([1, 3]), 5).int().tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 1, 0]]


def test_a_stepper_calls_its_step_on_the_cpu():
    seen = []

    def step(key, x):
        seen.append(key)
        return x * 2, x + key

    stepper = Stepper(step, "cpu")
    doubled, moved = stepper(3, torch.ones(2))
    assert (doubled.tolist(), moved.tolist(), seen, stepper.captured) == ([2, 2], [4, 4], [3], 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="graphs need a CUDA device")
def test_graphs_replay_the_step_with_new_inputs():
    cache = KVCache(layers=1, groups=GROUPS, length=300, head_dim=DIM, device="cuda")
    plain = KVCache(layers=1, groups=GROUPS, length=300, head_dim=DIM, device="cuda")
    torch.manual_seed(1)
    rows = torch.randn(300, 1, GROUPS, 1, DIM, device="cuda")

    def step_on(cache):
        def step(prefix, row, positions):
            keys, values = cache.write_at(0, positions, row, row * 2, prefix)
            return attend(row.repeat_interleave(2, 1), keys, values, mask=prefix_mask(positions, prefix))

        return step

    stepper = Stepper(step_on(cache), "cuda")
    for t, row in enumerate(rows):
        prefix = prefix_length(t + 1, cache.length)
        found = stepper(prefix, row, torch.tensor([t]))  # the position from the CPU: copied in
        expected = step_on(plain)(prefix, row, torch.tensor([t], device="cuda"))
        assert torch.allclose(found, expected, atol=1e-5), t
    assert stepper.captured == 3  # 128, 256, 300
    with pytest.raises(ValueError, match="got an input"):
        stepper(128, rows[0].half(), torch.tensor([0]))
    with pytest.raises(ValueError, match="got 1 inputs; the graph takes 2"):
        stepper(128, rows[0])
