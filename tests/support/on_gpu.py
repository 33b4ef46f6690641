"""A family's synthesizer on the pretend GPU, held against the same one on the CPU.

In float32 the audio is the CPU's. In half precision it is the CPU's of the same type, or the first id that differs was
drawn from logits that lie no further than `DISTANCE` from the CPU's: the shapes of a GPU's steps are others (a mask in
place of a slice), so sums are rounded in another order.
"""

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from msgspec.structs import replace

from hub.contract import AudioChunk, ResolvedRequest
from hub.nn.decode import Stepper
from hub.testing.pretend_gpu import pretend_gpu

DISTANCE = {"float16": 0.05, "bfloat16": 0.4}
"""How far logits may lie from the CPU's of the same type; those of the tiny models reach from -20 to 20."""

LOUDEST = 1e-3
"""How far a sample may lie from the CPU's where all ids are equal: codec and vocoder round a little differently."""

GRID = [(dtype, device) for dtype in ("float32", "bfloat16", "float16") for device in ("cuda:0", "cuda:1")]
"""Every type on every device."""


class Draw(NamedTuple):
    """The logits of one draw, and the ids that it gave."""

    logits: torch.Tensor
    ids: torch.Tensor


@dataclass(frozen=True)
class Case:
    """One checkpoint: how it is loaded (`load(device, dtype)`), what it says, and where its ids are drawn.

    `requests` are spoken one after the other, then all at once; one without a text is live, and `live` arrives.
    `drawn` is (owner, name): a function whose argument `logits` are logits, and whose result is ids, or a tuple with
    them first. `caches` gives the caches of all idle sessions of a loaded synthesizer.
    """

    load: Callable[[str, str], Any]
    requests: Mapping[str, ResolvedRequest]
    drawn: tuple[Any, str]
    caches: Callable[[Any], Sequence[Any]]
    live: Sequence[str] = ()
    logits: int = 0
    loudest: float = LOUDEST


def check(case: Case, dtype: str = "float32", device: str = "cuda:0") -> None:
    """Load, warm up, speak each request alone, all at once, and again after NaN was left in every idle cache."""
    host = case.load("cpu", dtype)
    wanted = {name: speak(case, host, request) for name, request in case.requests.items()}
    with pretend_gpu() as gpu:
        model = case.load(device, dtype)
        assert model.device == device
        with gpu.counted() as counts:
            alone = {name: speak(case, model, request) for name, request in case.requests.items()}
            together = at_once(case, model, list(case.requests.values()))
            leave_nan(case, model)
            again = speak(case, model, next(iter(case.requests.values())))
        assert counts.captures == 0, "a request captured a graph"
        assert gpu.peaks[1 - int(device[-1])] == 0, "memory on the other GPU"
        for number, (name, audio) in enumerate(alone.items()):
            assert same(audio, together[number], case.loudest), f"{name}: not the same among others"
        assert same(again, next(iter(alone.values())), case.loudest), "NaN in an idle cache was heard"
        different = [name for name in wanted if not same(alone[name], wanted[name], case.loudest)]
        assert not different or dtype != "float32", f"{different}: not the audio of the CPU"
        model.close()
    for name in different:
        check_draws(case, case.requests[name], dtype, device)


def check_draws(case: Case, request: ResolvedRequest, dtype: str, device: str) -> None:
    """Compare each draw with the CPU's, up to the first that gave another id."""
    host = case.load("cpu", dtype)
    with traced(case) as expected:
        speak(case, host, request)
    with pretend_gpu(), mock.patch.object(Stepper, "__call__", _called_plainly):
        model = case.load(device, dtype)
        with traced(case) as found:
            speak(case, model, request)
    for number, (one, other) in enumerate(zip(expected, found, strict=False)):
        finite = one.logits.isfinite() & other.logits.isfinite()
        apart = float((one.logits - other.logits)[finite].abs().max())
        assert apart <= DISTANCE[dtype], f"draw {number}: logits {apart} from the CPU's"
        if not torch.equal(one.ids, other.ids):
            assert apart > 0, f"draw {number}: another id of the same logits"
            return
    raise AssertionError("other audio of the same ids")


def check_many(case: Case, requests: Sequence[ResolvedRequest], device: str = "cuda:0") -> None:
    """Speak all `requests`, four at a time, without a capture; memory stays what it was after the first of them."""
    with pretend_gpu() as gpu:
        model = case.load(device, "float32")
        at_once(case, model, requests[:4])
        held = gpu.allocated[int(device[-1])]
        with gpu.counted() as counts:
            for number in range(4, len(requests), 4):
                at_once(case, model, requests[number : number + 4])
        assert counts.captures == 0, "a request captured a graph"
        assert gpu.allocated[int(device[-1])] <= held * 1.05, "memory was kept"


def speak(case: Case, model: Any, request: ResolvedRequest) -> np.ndarray:
    """The samples of a request; one without text is live."""
    if request.text is None and not request.turns:
        events = model.speak_live(request, iter(case.live), threading.Event())
    else:
        events = model.speak(request, threading.Event())
    chunks = [np.frombuffer(event.pcm, "<f4") for event in events if isinstance(event, AudioChunk)]
    assert chunks, "no audio"
    samples = np.concatenate(chunks)
    assert np.isfinite(samples).all()
    return samples


def at_once(case: Case, model: Any, requests: Sequence[ResolvedRequest]) -> list[np.ndarray]:
    """The samples of requests that are spoken in threads, at the same time."""
    found: list[Any] = [None] * len(requests)
    begin = threading.Barrier(len(requests))

    def run(number: int) -> None:
        begin.wait()
        try:
            found[number] = speak(case, model, requests[number])
        except BaseException as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return found


def same(one: np.ndarray, other: np.ndarray, loudest: float = LOUDEST) -> bool:
    """True if both are the same audio, but for rounding."""
    return one.shape == other.shape and bool(np.abs(one - other).max(initial=0.0) <= loudest)


def leave_nan(case: Case, model: Any) -> None:
    """Fill every idle cache with NaN, as a request that overflowed leaves it."""
    caches = case.caches(model)
    assert caches, "no idle session"
    with torch.inference_mode():
        for cache in caches:
            cache.keys.fill_(float("nan"))
            cache.values.fill_(float("nan"))


@contextlib.contextmanager
def traced(case: Case):
    """The draws of the block."""
    owner, name = case.drawn
    original, found = getattr(owner, name), []

    def drawn(*args, **kwargs):
        result = original(*args, **kwargs)
        ids = result[0] if isinstance(result, tuple) else result
        logits = args[case.logits] if len(args) > case.logits else kwargs["logits"]
        found.append(Draw(logits.detach().float().cpu(), torch.as_tensor(ids).cpu()))
        return result

    with mock.patch.object(owner, name, drawn):
        yield found


def _called_plainly(stepper: Stepper, key: Any, *inputs: torch.Tensor) -> Any:
    """A step without a graph, so that what it calls can be traced."""
    return stepper._step(key, *(value.to(stepper._device) for value in inputs))


def seeds(request: ResolvedRequest, count: int) -> list[ResolvedRequest]:
    """`request` with so many seeds."""
    return [replace(request, seed=seed) for seed in range(count)]
