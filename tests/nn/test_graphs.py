"""Graphs on a pretend GPU: one capture at a time, on one stream; replays equal plain calls; loans begin clean."""

import threading

import pytest
import torch

from hub.nn.attention import attend
from hub.nn.decode import KVCache, Stepper, prefix_length, prefix_lengths, prefix_mask
from hub.nn.graphs import capture
from hub.nn.loans import Loans, affordable
from hub.nn.memory import DeviceMemory
from hub.testing.pretend_gpu import gpu, pretend_gpu

__all__ = ["gpu"]  # the fixture of that name

GROUPS, DIM, LENGTH = 2, 8, 300


def step_on(cache):
    """A layer of attention with `cache`, as a Stepper's step."""

    def step(prefix, row, positions):
        keys, values = cache.write_at(0, positions, row, row * 2, prefix)
        return attend(row.repeat_interleave(2, 1), keys, values, mask=prefix_mask(positions, prefix))

    return step


def new_cache(device):
    return KVCache(layers=1, groups=GROUPS, length=LENGTH, head_dim=DIM, device=device)


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_replays_give_what_plain_calls_give(gpu, device):
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(LENGTH, 1, GROUPS, 1, DIM, generator=generator)
    stepper, plain = Stepper(step_on(new_cache(device)), device), step_on(new_cache("cpu"))
    for t, row in enumerate(rows):
        prefix = prefix_length(t + 1, LENGTH)
        found = stepper(prefix, row.to(device), torch.tensor([t]))
        assert found.device == torch.device(device)
        assert torch.allclose(found.cpu(), plain(prefix, row, torch.tensor([t])), atol=1e-6), t
    assert stepper.captured == gpu.counts.captures == 3  # 128, 256, 300


def test_prepared_graphs_are_captured_once(gpu):
    stepper = Stepper(step_on(new_cache("cuda:0")), "cuda:0")
    row = torch.ones(1, GROUPS, 1, DIM)
    assert prefix_lengths(LENGTH) == [300, 256, 128]
    assert prefix_lengths(100) == [100]
    for prefix in prefix_lengths(LENGTH):
        stepper.prepare(prefix, row, torch.tensor([0]))
    assert stepper.captured == 3
    with gpu.counted() as counts:
        stepper(256, row, torch.tensor([3]))
    assert (counts.captures, counts.replays) == (0, 1)
    host = Stepper(step_on(new_cache("cpu")), "cpu")
    host.prepare(128, row, torch.tensor([0]))
    assert host.captured == 0


def test_threads_that_capture_at_once_take_turns(gpu):
    begin, failed = threading.Barrier(4), []

    def work(number):
        try:
            device = f"cuda:{number % 2}"
            stepper = Stepper(step_on(new_cache(device)), device)
            begin.wait()
            for t in range(0, LENGTH, 20):
                stepper(prefix_length(t + 1, LENGTH), torch.ones(1, GROUPS, 1, DIM), torch.tensor([t]))
                DeviceMemory(torch.device(device)).free()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert gpu.counts.captures == 12


def test_all_captures_of_a_device_are_on_one_stream(gpu):
    seen = []

    def run():
        seen.append(torch.cuda.current_stream("cuda:1").stream_id)
        return torch.ones(1, device="cuda:1")

    for _ in range(2):
        capture(run, torch.device("cuda:1"))
    assert len(set(seen)) == 1
    assert torch.cuda.current_stream("cuda:1").stream_id == 0


def test_a_cleared_cache_holds_numbers_whoever_made_it(gpu):
    with torch.inference_mode():
        cache = new_cache("cuda:0")
    with torch.inference_mode():
        cache.keys.fill_(float("nan"))
        cache.values.fill_(float("nan"))
    cache.clear()
    assert cache.keys.any().item() is False
    assert cache.values.any().item() is False


def test_a_loan_made_in_inference_mode_can_be_changed_outside_of_it(gpu):
    loans = Loans(lambda size: torch.zeros(size, device="cuda:0"), size_of=len, device=torch.device("cuda:0"), keep=2)
    with torch.inference_mode():
        thing = loans.take(3)
    loans.give_back(thing)
    assert loans.take(2).add_(1).tolist() == [1, 1, 1]


def test_loans_are_made_in_advance_where_they_are_kept(gpu):
    prepared = []
    for device, count in (("cuda:0", 3), ("cpu", 0)):
        loans = Loans(lambda size: [size], size_of=lambda thing: thing[0], device=torch.device(device), keep=3)
        prepared.clear()
        loans.fill(8, prepared.append)
        assert prepared == [[8]] * count
        lent = [loans.take(5) for _ in range(3)]
        assert [thing in prepared for thing in lent] == [count > 0] * 3


def test_what_is_made_in_advance_takes_a_quarter_of_the_free_memory_at_most():
    with pretend_gpu(memory=64 << 20):
        device = torch.device("cuda:1")
        for longest, size in ((1024, 1024), (4096, 4096), (6000, 4096), (100_000, 4096)):
            assert affordable(longest, 1024, each=1024, count=4, device=device) == size
        assert affordable(100_000, 1024, each=1 << 20, count=4, device=device) == 1024
        held = torch.zeros(32 << 18, device=device)  # 32 MB
        assert affordable(100_000, 1024, each=1024, count=4, device=device) == 2048
        del held
