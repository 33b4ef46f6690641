"""A device that is full, and one that is broken: typed faults in real workers, and the next request works."""

import asyncio
import os
import signal
import sys

import pytest

from hub.contract.errors import HubError, InvalidRequest, OutOfMemory
from hub.engine.device_errors import device_error
from hub.testing.tone.device import AcceleratorError, OutOfMemoryError
from tests.support.streams import collect, request_for, spoken


def beside(folder):
    """Return the environment of a worker that finds the modules in `folder`, and this hub."""
    return {"PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}


@pytest.mark.anyio
async def test_a_full_device_is_a_typed_fault_and_the_next_request_works(engines):
    engine = engines()
    await engine.start()
    pid = engine.status.pid
    *heard, fault = await collect(engine.speak(request_for("x" * 40, full_at=2)))
    assert len(heard) == 2
    assert (fault.code, fault.detail) == ("out_of_memory", {"retry_after": 5.0})
    assert spoken(await collect(engine.speak(request_for("a short one")))) == "a short one"
    assert (engine.status.pid, engine.status.crashes) == (pid, 0)


HOARD = """
import weakref
from hub.testing.tone import Tone
from hub.testing.tone.device import ToneDevice

class OutOfMemoryError(Exception):
    pass

class Tensor:
    pass

class Memory(ToneDevice):
    def __init__(self, owner):
        super().__init__()
        self.owner = owner
    def free(self):
        assert self.owner.tensor() is None, "what the failed request made is still there"
        self.owner.freed = True

class Hoard(Tone):
    freed = False
    def load(self, model):
        super().load(model)
        self.memory = Memory(self)
    def speak(self, request, stop):
        if not self.freed:
            self.compute()
        yield from super().speak(request, stop)
    def make_voice(self, draft):
        self.freed = False
        self.compute()
    def compute(self):
        made = Tensor()
        self.tensor = weakref.ref(made)
        raise OutOfMemoryError("full")
"""


@pytest.mark.anyio
async def test_caches_are_freed_when_nothing_of_the_failed_request_is_left(engines, tmp_path):
    """In a call too. `free` would find tensors that the error's traceback holds."""
    (tmp_path / "hoard.py").write_text(HOARD)
    engine = engines("hoard:Hoard", env=beside(tmp_path))
    await engine.start()
    assert [event.code for event in await collect(engine.speak(request_for()))] == ["out_of_memory"]
    assert spoken(await collect(engine.speak(request_for("next")))) == "next"
    with pytest.raises(OutOfMemory):
        await engine.call("make_voice", {"references": []})
    assert spoken(await collect(engine.speak(request_for("again")))) == "again"


@pytest.mark.anyio
async def test_a_load_without_memory_is_typed_and_can_be_tried_again(engines, tmp_path):
    (tmp_path / "large.py").write_text(
        "from hub.testing.tone import Tone\nclass Large(Tone):\n    def load(self, model):\n        raise MemoryError\n"
    )
    engine = engines("large:Large", env=beside(tmp_path))
    with pytest.raises(OutOfMemory, match="to load the model") as refusal:
        await engine.start()
    assert refusal.value.retry_after == 5.0


@pytest.mark.anyio
async def test_a_broken_device_ends_its_streams_and_the_worker_and_the_next_request_works(engines):
    crashes = []
    engine = engines(on_crash=crashes.append, worker={"backoff_first": 0.0})
    await engine.start()
    pid = engine.status.pid
    others = [engine.speak(request_for(seconds=3600, paced=True, step_ms=5)) for _ in range(3)]
    for stream in others:
        await anext(stream)
    (culprit,) = await collect(engine.speak(request_for(break_at=0)))
    assert culprit.code == "backend_crashed"
    assert "while it computed this request (AcceleratorError)" in culprit.message
    faults = [(await collect(stream))[-1] for stream in others]
    assert {fault.code for fault in faults} == {"backend_crashed"}
    await engine.start()
    assert spoken(await collect(engine.speak(request_for("back")))) == "back"
    assert engine.status.pid != pid
    with pytest.raises(ProcessLookupError):  # it was gone, with its memory, before the new one was started
        os.kill(pid, 0)
    assert crashes == ["lost its device"]
    assert engine.status.crashes == 1


@pytest.mark.anyio
async def test_streams_that_compute_nothing_now_are_told_that_another_request_is_to_blame(engines):
    engine = engines(worker={"backoff_first": 0.0, "buffer_seconds": 1.0})
    await engine.start()
    waiting = engine.speak(request_for(seconds=3600))
    async with asyncio.timeout(20):
        while waiting.buffered < 1.0:  # then the worker waits for its reader
            await asyncio.sleep(0.01)
    await collect(engine.speak(request_for(break_at=0)))
    fault = (await collect(waiting))[-1]
    assert fault.code == "backend_crashed"
    assert "lost its device while it worked on another request; try again" in fault.message


@pytest.mark.anyio
async def test_a_device_that_breaks_when_the_caller_has_left_ends_the_worker_too(engines):
    engine = engines(worker={"backoff_first": 0.0})
    await engine.start()
    pid = engine.status.pid
    stream = engine.speak(request_for(seconds=3600, step_ms=200, break_at=1))
    await anext(stream)
    stream.close()
    async with asyncio.timeout(20):
        while engine.status.crashes == 0:
            await asyncio.sleep(0.01)
    await engine.start()
    assert engine.status.pid != pid


@pytest.mark.anyio
async def test_a_device_that_breaks_again_and_again_opens_the_breaker(engines):
    engine = engines(worker={"backoff_first": 0.0, "breaker_crashes": 2, "breaker_pause": 60.0})
    for _ in range(2):
        await engine.start()
        await collect(engine.speak(request_for(break_at=0)))
        async with asyncio.timeout(20):
            while engine.status.state == "ready":
                await asyncio.sleep(0.01)
    assert engine.status.state == "broken"
    await engine.stop()
    assert engine.status.pid is None


@pytest.mark.anyio
async def test_a_worker_says_how_much_it_holds(engines):
    engine = engines(options={"device_memory": 3 * 2**30})
    assert await engine.measure() is None, "it is not loaded"
    await engine.start()
    assert await asyncio.gather(engine.measure(), engine.measure()) == [3 * 2**30] * 2
    assert engine.status.active == 0, "measuring is no work that keeps a model loaded"
    os.kill(engine.status.pid, signal.SIGSTOP)
    asking = asyncio.create_task(engine.measure())
    await asyncio.sleep(0)
    os.kill(engine.status.pid, signal.SIGKILL)
    assert await asking is None


@pytest.mark.anyio
async def test_a_worker_that_cannot_say_it_says_so(engines):
    engine = engines()
    await engine.start()
    assert await engine.measure() is None


class Illegal(RuntimeError):
    """An error of torch 2.5, which has no class for it."""


KINDS = {
    "full": (OutOfMemoryError("CUDA out of memory."), "memory"),
    "full host": (MemoryError(), "memory"),
    "full, from the driver": (AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might"), "memory"),
    "full, in cuBLAS": (
        Illegal("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        "memory",
    ),
    "full CPU": (
        Illegal("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        "memory",
    ),
    "full, in ONNX": (Exception("[ONNXRuntimeError] : 1 : FAIL : CUDA failure 2: out of memory ; GPU=0"), "memory"),
    "assertion": (AcceleratorError("CUDA error: device-side assert triggered"), "broken"),
    "older torch": (Illegal("CUDA error: an illegal memory access was encountered"), "broken"),
    "cuDNN": (Illegal("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "broken"),
    "cuBLAS": (Illegal("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`"), "broken"),
    "ONNX": (Exception("[ONNXRuntimeError] : 6 : Conv: CUDA failure 700: an illegal memory access"), "broken"),
    "a shape that cuBLAS does not take": (Illegal("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling"), None),
    "a text about it": (RuntimeError("cannot say 'CUDA error: device-side assert triggered'"), None),
    "a caller's words in a typed error": (InvalidRequest("CUDA error: of mine"), None),
    "anything else": (ValueError("no"), None),
}


@pytest.mark.parametrize(("error", "kind"), KINDS.values(), ids=KINDS)
def test_errors_are_told_apart(error, kind):
    assert device_error(error) == kind


def caught(*errors):
    """Return the last error, raised while the one before it was handled, and so on."""
    found = None
    for error in errors:
        try:
            try:
                if found is not None:
                    raise found
            finally:
                raise error
        except Exception as one:
            found = one
    return found


CAPTURE = "CUDA error: operation failed due to a previous error during capture"


def test_what_an_error_came_from_decides():
    """A capture that ran out of memory ends with an error of its own; a typed error may come of a broken device."""
    assert device_error(caught(OutOfMemoryError("full"), AcceleratorError(CAPTURE))) == "memory"
    assert device_error(caught(AcceleratorError("CUDA error: assert"), AcceleratorError(CAPTURE))) == "broken"
    assert device_error(caught(AcceleratorError(CAPTURE))) == "broken"
    assert device_error(caught(AcceleratorError("CUDA error: assert"), HubError("typed"))) == "broken"
    assert device_error(caught(OutOfMemoryError("full"), HubError("the file is damaged"))) == "memory"


@pytest.mark.parametrize(("error", "kind"), [(OutOfMemoryError("full"), None), (AcceleratorError("CUDA"), "broken")])
def test_a_full_device_can_be_dealt_with_and_a_broken_one_cannot(error, kind):
    """By an error of one's own, `from None`."""
    try:
        raise error
    except RuntimeError:
        with pytest.raises(HubError) as raised:
            raise HubError("the text is too long for this device") from None
    assert device_error(raised.value) == kind


def test_the_classes_of_torch_are_known_by_their_names():
    import torch

    assert device_error(torch.OutOfMemoryError("CUDA out of memory.")) == "memory"
    assert device_error(torch.cuda.OutOfMemoryError("full")) == "memory"
    if hasattr(torch, "AcceleratorError"):
        assert device_error(torch.AcceleratorError("CUDA error: unspecified launch failure")) == "broken"
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**50, dtype=torch.uint8)
    assert device_error(refused.value) == "memory"
