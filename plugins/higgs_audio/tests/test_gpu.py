"""Both layouts of the checkpoint on the pretend GPU: they load, and speak as on the CPU, alone and together."""

import pytest
import torch
from hub_higgs_audio import generation, session
from hub_higgs_audio.synthesizer import HiggsAudio
from msgspec.structs import replace

from hub.contract import ModelConfig, ResolvedRequest, Sampling
from hub.testing.pretend_gpu import pretend_gpu, rules
from plugins.higgs_audio.tests.support.saying import LONG, TEXT, reference
from plugins.higgs_audio.tests.support.tiny import write_checkpoint
from tests.support import on_gpu

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real GPU")

LAYOUTS = ("boson", "transformers")
COLUMNS = Sampling(max_new_tokens=24)


def requests():
    """What a checkpoint says."""
    return {
        "whole": ResolvedRequest(text=TEXT, seed=5, sampling=COLUMNS, options={"retry": False}),
        "streamed": ResolvedRequest(
            text=LONG,
            seed=6,
            sampling=COLUMNS,
            stream=True,
            references=(reference(),),
            options={"retry": False, "chunk_method": "sentence"},
        ),
        "another": ResolvedRequest(text="Good morning.", seed=8, sampling=COLUMNS, options={"retry": False}),
        "greedy": ResolvedRequest(
            text="Good night.", seed=9, sampling=replace(COLUMNS, temperature=0.0), options={"retry": False}
        ),
    }


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: write_checkpoint(tmp_path_factory.mktemp(name) / "v2", boson=name == "boson") for name in LAYOUTS}


def case(folder):
    def load(device, dtype):
        higgs = HiggsAudio()
        options = {"max_new_tokens": 48, "max_positions": 2048}
        higgs.load(ModelConfig(name="higgs", path=str(folder), device=device, dtype=dtype, options=options))
        return higgs

    return on_gpu.Case(
        load=load,
        requests=requests(),
        drawn=(session, "next_column"),
        caches=lambda higgs: [one.cache for one in higgs._machinery.sessions._idle],
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_speaks_as_on_the_cpu(folders, layout):
    on_gpu.check(case(folders[layout]), device="cuda:1")


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "device"), on_gpu.GRID)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_speaks_in_every_type_on_every_gpu(folders, layout, dtype, device):
    on_gpu.check(case(folders[layout]), dtype, device)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_fifty_requests_of_all_lengths_capture_nothing(folders, layout):
    kinds = list(requests().values())
    many = [
        replace(kinds[number % 4], seed=number, sampling=Sampling(max_new_tokens=30 + 7 * number % 50))
        for number in range(52)
    ]
    on_gpu.check_many(case(folders[layout]), many)


def test_a_column_is_read_from_the_gpu_that_made_it():
    with pretend_gpu():
        made = torch.arange(5, device="cuda:1")
        found = generation.Readback(made).wait()
        assert (found.ids.tolist(), found.last) == ([0, 1, 2, 3], True)
        with pytest.raises(rules.EventElsewhere):
            torch.empty(5, dtype=torch.int64, pin_memory=True).copy_(made, non_blocking=True)
            torch.cuda.Event().record()
