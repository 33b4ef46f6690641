"""The pretend GPU: every rule refuses what breaks it and lets its legal twin pass; replays, events, memory, counts."""

import copy
import threading
from contextlib import contextmanager

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from hub.testing.pretend_gpu import gpu, pretend_gpu, rules

__all__ = ["gpu"]  # the fixture of that name

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real GPU")


@contextmanager
def capturing(device="cuda:0", **options):
    """The block is captured on a side stream of `device`; it gets the graph."""
    graph = torch.cuda.CUDAGraph()
    with torch.inference_mode(), torch.cuda.graph(graph, stream=torch.cuda.Stream(device), **options):
        yield graph


def ones(*shape, device="cuda:0", dtype=torch.float32):
    return torch.ones(shape, device=device, dtype=dtype)


class Given:
    """Tensors that exist before a capture."""

    def __init__(self):
        self.x = torch.arange(4.0, device="cuda:0")
        self.ids = torch.tensor([2, 0], device="cuda:0")
        self.mask = self.x > 1
        self.number = torch.tensor(2, device="cuda:0")
        self.host = torch.arange(4.0)
        self.other = torch.arange(4.0, device="cuda:1")


INSIDE = {
    "item": (rules.HostWaits, lambda g: g.x[0].item(), lambda g: g.x[0] * 2),
    "tolist": (rules.HostCopy, lambda g: g.x.tolist(), lambda g: g.x.unbind()),
    "bool": (rules.HostWaits, lambda g: g.x if g.mask.any() else g.x + 1, lambda g: torch.where(g.mask.any(), 0, g.x)),
    "int": (
        rules.HostWaits,
        lambda g: g.x[: int(g.number)],
        lambda g: g.x * (torch.arange(4, device="cuda") < g.number),
    ),
    "index by a number on the device": (rules.HostWaits, lambda g: g.x[g.number], lambda g: g.x.take(g.number)),
    "equal": (rules.HostWaits, lambda g: torch.equal(g.x, g.x), lambda g: (g.x == g.x).all()),
    "multinomial": (rules.HostWaits, lambda g: g.x.multinomial(1), lambda g: (g.x / torch.ones_like(g.x)).argmax()),
    "cpu": (rules.HostCopy, lambda g: g.x.cpu(), lambda g: g.x.clone()),
    "a copy to the host": (rules.HostCopy, lambda g: g.host.copy_(g.x), lambda g: torch.empty_like(g.x).copy_(g.x)),
    "a tensor of the host": (rules.HostCopy, lambda g: g.x.copy_(g.host), lambda g: g.x.copy_(g.x + 1)),
    "a number of the host": (rules.HostCopy, lambda g: g.x.__setitem__((..., 0), 5), lambda g: g.x[..., :1].fill_(5)),
    "new data": (rules.HostCopy, lambda g: torch.tensor([1.0], device="cuda"), lambda g: torch.ones(1, device="cuda")),
    "indices on the host": (rules.HostCopy, lambda g: g.x[torch.tensor([1])], lambda g: g.x[g.ids]),
    "nonzero": (rules.ShapeFromData, lambda g: g.x.nonzero(), lambda g: g.x.ne(0).cumsum(0)),
    "a mask": (rules.ShapeFromData, lambda g: g.x[g.mask], lambda g: g.x.masked_fill(g.mask, 0)),
    "unique": (rules.ShapeFromData, lambda g: g.ids.unique(), lambda g: g.ids.sort()),
    "repeats": (
        rules.ShapeFromData,
        lambda g: g.x.repeat_interleave(torch.ones(4, dtype=torch.int64, device="cuda")),
        lambda g: g.x.repeat_interleave(2),
    ),
    "another device": (rules.OutsideTheStream, lambda g: g.other + 1, lambda g: g.x + 1),
    "a copy to another device": (
        rules.OutsideTheStream,
        lambda g: g.x.to("cuda:1"),
        lambda g: g.x.to("cuda:0", copy=True),
    ),
}


@pytest.mark.parametrize("name", INSIDE)
def test_a_capture_refuses_what_cuda_refuses(gpu, name):
    error, broken, legal = INSIDE[name]
    given = Given()
    with pytest.raises(error, match=error.rule), capturing():
        broken(given)
    broken(given)  # outside of a capture it is allowed
    with capturing() as graph:
        legal(given)
    graph.replay()


def test_a_capture_that_failed_does_not_stand_in_the_way(gpu):
    x = ones(2)
    with pytest.raises(rules.HostWaits), capturing() as graph:
        x.sum().item()
    with pytest.raises(rules.CaptureMisused):
        graph.replay()
    with capturing() as graph:
        y = x + 1
    graph.replay()
    assert y.tolist() == [2, 2]


def test_mixed_devices(gpu):
    x = ones(2)
    for other in (torch.ones(2), ones(2, device="cuda:1")):
        with pytest.raises(rules.MixedDevices, match="one device"):
            x + other
    with pytest.raises(rules.MixedDevices):
        torch.cat([x, torch.tensor(1.0)[None]])
    assert (x + ones(2)).tolist() == [2, 2]
    assert (x + torch.tensor(1.0)).tolist() == [2, 2], "a number of the host is no tensor"
    assert (x + torch.ones(2).to("cuda:0")).tolist() == [2, 2]
    assert (x.to("cuda:1") + ones(2, device="cuda:1")).device == torch.device("cuda:1")


def test_generators_draw_on_their_own_device(gpu):
    with pytest.raises(rules.GeneratorElsewhere, match=r"on cuda:0 with a generator on cpu"):
        ones(2).exponential_(generator=torch.Generator())
    with pytest.raises(rules.GeneratorElsewhere):
        ones(2).exponential_(generator=torch.Generator("cuda:1"))
    with pytest.raises(rules.GeneratorElsewhere, match=r"on cpu with a generator on cuda:0"):
        torch.ones(2).exponential_(generator=torch.Generator("cuda"))
    with pytest.raises(rules.GeneratorElsewhere):
        torch.randn(2, generator=torch.Generator("cuda"))
    with pytest.raises(rules.GeneratorElsewhere):
        torch.randn(2, generator=torch.Generator(), device="cuda")
    drawn = ones(3).exponential_(generator=torch.Generator("cuda:0").manual_seed(4))
    host = torch.ones(3).exponential_(generator=torch.Generator().manual_seed(4))
    assert drawn.tolist() == host.tolist()
    assert torch.randn(2, generator=torch.Generator("cuda:1"), device="cuda:1").device.index == 1


def test_a_generator_is_registered_before_it_draws_in_a_capture(gpu):
    x, generator = ones(3), torch.Generator("cuda:0").manual_seed(1)
    with pytest.raises(rules.UnregisteredGenerator), capturing():
        x.exponential_(generator=generator)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        x.exponential_(generator=generator)
    graph.replay()
    first = x.tolist()
    graph.replay()
    assert x.tolist() != first


def test_work_on_another_stream_inside_a_capture(gpu):
    x = ones(2)
    other = torch.cuda.Stream()
    with pytest.raises(rules.OutsideTheStream, match="another stream"), capturing(), torch.cuda.stream(other):
        x + 1
    with capturing() as graph:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())  # so it becomes part of the capture
        with torch.cuda.stream(side):
            y = x + 1
        torch.cuda.current_stream().wait_stream(side)
    graph.replay()
    assert y.tolist() == [2, 2]


def test_the_default_capture_stream_stays_on_the_device_of_its_first_use(gpu):
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        ones(2)
    x = ones(2, device="cuda:1")
    on_first = torch.cuda.graph(torch.cuda.CUDAGraph())
    with pytest.raises(rules.OutsideTheStream, match="cuda:1"), torch.cuda.device("cuda:1"), on_first:
        x + 1
    with capturing("cuda:1") as graph:
        x.add_(1)
    graph.replay()
    assert x.tolist() == [2, 2]


def test_a_capture_on_the_default_stream(gpu):
    with pytest.raises(rules.CaptureMisused, match="default stream"):
        torch.cuda.CUDAGraph().capture_begin()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.stream(torch.cuda.Stream()):
        graph.capture_begin()
        graph.capture_end()
    with pytest.raises(rules.CaptureMisused), torch.cuda.stream(torch.cuda.Stream()):
        graph.capture_begin()


class Elsewhere:
    """Runs a function in another thread and gives its result, or raises its error."""

    def __call__(self, work):
        found = []

        def run():
            try:
                found.append((work(), None))
            except RuntimeError as error:
                found.append((None, error))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        result, error = found[0]
        if error is not None:
            raise error
        return result


elsewhere = Elsewhere()


def empty_capture():
    with capturing():
        pass


def test_two_captures_at_once(gpu):
    for run in (lambda work: work(), elsewhere):
        with capturing(), pytest.raises(rules.TwoCaptures, match="one graph at a time"):
            run(empty_capture)
    elsewhere(empty_capture)
    empty_capture()


@pytest.mark.parametrize("disturb", [torch.cuda.synchronize, torch.cuda.empty_cache])
def test_nothing_disturbs_a_capture(gpu, disturb):
    name = disturb.__name__
    for run in (lambda work: work(), elsewhere):
        with capturing(), pytest.raises(rules.CaptureDisturbed, match=name):
            run(getattr(torch.cuda, name))
        run(getattr(torch.cuda, name))


def test_the_error_mode_says_whether_other_threads_may_wait(gpu):
    x = ones(2)
    with capturing(capture_error_mode="global"), pytest.raises(rules.CaptureDisturbed, match="global"):
        elsewhere(x.tolist)
    with capturing(capture_error_mode="thread_local"):
        assert elsewhere(lambda: (x + 1).tolist()) == [2, 2]


def test_a_replay_computes_from_what_its_inputs_hold_now(gpu):
    given, total = ones(3), torch.zeros(1, device="cuda")
    with capturing() as graph:
        doubled = given * 2
        view = doubled[1:]
        total += view.sum()
    assert total.tolist() == [0], "a capture computes nothing"
    assert all(value != value for value in doubled.tolist()), "before the first replay its results hold garbage"
    graph.replay()
    assert (doubled.tolist(), view.tolist(), total.tolist()) == ([2, 2, 2], [2, 2], [4])
    given.copy_(torch.tensor([1.0, 2.0, 3.0]))
    graph.replay()
    assert (view.tolist(), total.tolist()) == ([4, 6], [14])
    given = ones(3)  # another tensor: the graph reads the old one, which lives only in the graph now
    with pytest.raises(rules.FreedMemory, match="live as long as the graph"):
        graph.replay()


def test_a_number_of_the_host_is_part_of_the_graph(gpu):
    x, number = ones(2), torch.tensor(3.0)
    with capturing() as graph:
        y = x * number
    number.fill_(5.0)
    graph.replay()
    assert y.tolist() == [3, 3]


def test_a_replay_overwrites_the_results_of_graphs_that_share_its_pool(gpu):
    x = ones(1)
    with capturing() as first:
        one = x + 1
    with capturing(pool=first.pool()) as second:
        two = x + 2
    second.replay()
    kept = two.clone()
    first.replay()
    assert one.tolist() == [2]
    assert two.isnan().all()
    assert kept.tolist() == [3]
    with capturing() as alone:
        three = x + 3
    alone.replay()
    first.replay()
    assert three.tolist() == [4], "of another pool"


def test_a_copy_to_the_host_has_ended_when_its_event_has(gpu):
    values = torch.empty(3, pin_memory=True)
    values.copy_(ones(3, device="cuda:1") * 7, non_blocking=True)
    event = torch.cuda.Event()
    with pytest.raises(rules.EventElsewhere, match=r"recorded on cuda:0, where the copy is on cuda:1"):
        event.record()
    assert values.isnan().all(), "nobody has waited"
    event.record(torch.cuda.current_stream("cuda:1"))
    event.synchronize()
    assert values.tolist() == [7, 7, 7]
    later = ones(2).to("cpu", non_blocking=True)
    assert later.isnan().all()
    torch.cuda.current_stream("cuda:1").synchronize()
    assert later.isnan().all()
    torch.cuda.synchronize("cuda:0")
    assert later.tolist() == [1, 1]
    pageable = torch.empty(2)
    assert pageable.copy_(ones(2), non_blocking=True).tolist() == [1, 1], "such a copy is not asynchronous"


def test_a_stream_that_waits_for_another_ends_its_copies(gpu):
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        values = ones(2).to("cpu", non_blocking=True)
    torch.cuda.current_stream().wait_stream(side)
    assert values.isnan().all()
    torch.cuda.current_stream().synchronize()
    assert values.tolist() == [1, 1]


def test_operations_without_a_kernel_for_gpus(gpu):
    if torch.backends.cuda.is_built() and torch.backends.mkldnn.is_available():
        with pytest.raises(rules.NoKernel):
            torch.ops.mkldnn._linear_pointwise(ones(1, 2), ones(2, 2), None, "none", [], "")
    with pytest.raises(rules.UnsupportedType):
        torch.fft.rfft(ones(8, dtype=torch.bfloat16))
    with pytest.raises(rules.NotPretended):
        ones(2).resize_(3)
    assert torch.randn(2, 3).to("cuda").transpose_(0, 1).unsqueeze_(0).contiguous().shape == (1, 3, 2)
    assert torch.fft.rfft(ones(8)).abs().tolist() == [8, 0, 0, 0, 0]
    with pytest.raises(TypeError, match=r"Use Tensor\.cpu"):
        ones(2).numpy()


def test_counts(gpu):
    x = ones(4)
    with gpu.counted() as counts:
        y = x[1:] * 2 + 1  # a view costs nothing
        y.to("cpu")
    assert (counts.kernels, counts.launches, counts.to_host, counts.synchronisations) == (2, 2, 1, 1)
    with gpu.counted() as counts:
        x.copy_(torch.ones(4))
        x.copy_(torch.ones(4), non_blocking=True)
        y.sum().item()
    assert (counts.to_device, counts.synchronisations, counts.kernels) == (2, 2, 1)
    with gpu.counted() as counts, capturing() as graph:
        y = x * 2 + 1
    assert (counts.captures, counts.kernels) == (1, 0)
    with gpu.counted() as counts:
        graph.replay()
        graph.replay()
    assert (counts.replays, counts.launches, counts.kernels) == (2, 2, 4)
    assert gpu.counts.captures == 1
    with gpu.counted() as counts:
        elsewhere(lambda: x + 1)
    assert counts.kernels == 1


def test_memory():
    with pretend_gpu(memory=1 << 20) as gpu:
        x = torch.zeros(1024, device="cuda:1")
        assert torch.cuda.memory_allocated("cuda:1") == 4096
        assert torch.cuda.memory_allocated(0) == 0
        assert torch.cuda.mem_get_info("cuda:1") == ((1 << 20) - 4096, 1 << 20)
        part = x[:10]
        del x
        assert torch.cuda.memory_allocated("cuda:1") == 4096, "a view keeps all of it"
        del part
        assert (torch.cuda.memory_allocated("cuda:1"), torch.cuda.max_memory_allocated("cuda:1")) == (0, 4096)
        with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
            torch.empty(1 << 20, device="cuda")
        assert gpu.allocated == [0, 0]


def test_uninitialised_memory_holds_garbage(gpu):
    assert torch.empty(3, device="cuda").isnan().all()
    assert torch.empty_like(ones(2)).isnan().all()
    assert ones(2).new_empty(2, dtype=torch.int64).tolist() == [-(2**63)] * 2


def test_what_a_program_asks_of_cuda():
    with pretend_gpu(3, capability=(7, 5)):
        assert torch.cuda.is_available()
        assert torch.cuda.device_count() == 3
        assert torch.cuda.get_device_capability("cuda:1") == (7, 5)
        assert torch.cuda.get_device_properties(2).total_memory == 8 << 30
        assert not torch.cuda.is_bf16_supported(including_emulation=False)
        with torch.cuda.device(2):
            assert torch.cuda.current_device() == 2
            assert torch.ones(1, device="cuda").device == torch.device("cuda:2")
            assert elsewhere(torch.cuda.current_device) == 0
        with pytest.raises(RuntimeError, match="invalid device ordinal"):
            torch.ones(1, device="cuda:3")
        with pytest.raises(RuntimeError, match="is on already"), pretend_gpu():
            pass
    assert not torch.cuda.is_available()
    with pytest.raises((RuntimeError, AssertionError)):
        torch.ones(1, device="cuda")
    assert type(torch.Generator()) is torch.Generator


def test_modules_and_files_go_to_a_device(gpu, tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.LayerNorm(2))
    x = torch.randn(4, 3)
    with torch.no_grad():
        expected = module(x)
        module.to("cuda:1")
        assert {value.device.index for value in module.parameters()} == {1}
        assert torch.allclose(module(x.to("cuda:1")).cpu(), expected)
        assert torch.allclose(copy.deepcopy(module)(x.to("cuda:1")).cpu(), expected)
        assert torch.allclose(module.to("cpu")(x), expected)
    torch.save({"a": x}, tmp_path / "x.pt")
    safetensors.torch.save_file({"a": x}, tmp_path / "x.safetensors")
    assert torch.load(tmp_path / "x.pt", map_location="cuda:1")["a"].device.index == 1
    assert safetensors.torch.load_file(tmp_path / "x.safetensors", device="cuda:1")["a"].device.index == 1
    with safe_open(tmp_path / "x.safetensors", framework="pt", device="cuda:1") as opened:
        assert opened.get_tensor("a").device.index == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_numbers_are_those_of_the_cpu(gpu, dtype):
    generator = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(1, 2, 5, 8, generator=generator).to(dtype) for _ in range(3))
    norm, wave = torch.nn.Conv1d(2, 2, 3).to(dtype), torch.randn(1, 2, 9, generator=generator).to(dtype)
    functional = torch.nn.functional
    with torch.inference_mode():
        expected = functional.scaled_dot_product_attention(query, key, value, is_causal=True), norm(wave)
        attended = functional.scaled_dot_product_attention(*(x.to("cuda") for x in (query, key, value)), is_causal=True)
        convolved = norm.to("cuda")(wave.to("cuda"))
    assert torch.equal(attended.cpu(), expected[0])
    assert torch.equal(convolved.cpu(), expected[1])
