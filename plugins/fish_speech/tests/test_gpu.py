"""All four generations on the pretend GPU: they load, and speak as on the CPU, alone and together."""

import pytest
import torch
from hub_fish_speech import session as at
from hub_fish_speech.synthesizer import FishSpeech
from msgspec.structs import replace

from hub.contract import ModelConfig, Reference, ResolvedRequest, Sampling
from plugins.fish_speech.tests.support import tiny
from plugins.fish_speech.tests.support.spoken import LONG, REFERENCE
from tests.support import ROOT, on_gpu

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a real GPU")

CASES = ROOT / "tests" / "parity" / "cases" / "fish_speech"
GENERATIONS = ("v1_4_small", "v1_5_small", "s1_small", "s2_small")
FRAMES = Sampling(max_new_tokens=14)

REQUESTS = {
    "whole": ResolvedRequest(text="Hello there.", seed=5, sampling=FRAMES),
    "streamed": ResolvedRequest(
        text=LONG, seed=6, sampling=FRAMES, stream=True, references=(REFERENCE,), options={"chunk_length": 60}
    ),
    "live": ResolvedRequest(text=None, seed=7, sampling=FRAMES, stream=True),
    "another": ResolvedRequest(text="Good morning.", seed=8, sampling=FRAMES),
}


def case(name):
    def load(device, dtype):
        fish = FishSpeech()
        options = {"concurrency": 4, "max_seq_len": 2048}
        fish.load(
            ModelConfig(name="fish", path=str(CASES / name / "checkpoint"), device=device, dtype=dtype, options=options)
        )
        return fish

    return on_gpu.Case(
        load=load,
        requests=REQUESTS,
        drawn=(at, "pick"),
        caches=lambda fish: [session._cache for session in fish.sessions._idle],
        live=("It is written ", "while it is spoken. ", "And it ends."),
    )


@pytest.mark.parametrize("name", GENERATIONS)
def test_a_generation_speaks_as_on_the_cpu(name):
    on_gpu.check(case(name), device="cuda:1")


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "device"), on_gpu.GRID)
@pytest.mark.parametrize("name", GENERATIONS)
def test_a_generation_speaks_in_every_type_on_every_gpu(name, dtype, device):
    on_gpu.check(case(name), dtype, device)


@pytest.mark.slow
@pytest.mark.parametrize("name", GENERATIONS)
def test_fifty_requests_of_all_lengths_capture_nothing(name):
    whole, streamed, live = (REQUESTS[kind] for kind in ("whole", "streamed", "live"))
    requests = [
        replace(
            (whole, streamed, live)[number % 3],
            seed=number,
            sampling=Sampling(max_new_tokens=3 + 7 * number % 40),
            references=(Reference(audio=tiny.recording(0.1 + number % 7 / 5), text="A hum."),) * (number % 2),
        )
        for number in range(52)
    ]
    on_gpu.check_many(case(name), requests)
