"""ProcessEngine with real worker processes: start, speak, flow control, cancel, crash, back-off, breaker, stop."""

import asyncio
import os
import signal
import sys

import pytest

from hub.contract import AudioChunk, Done, Fault, ResolvedRequest
from hub.contract.errors import BackendUnavailable, UnknownVoice, WorkerStartFailed
from tests.support.streams import collect, request_for, spoken

pytestmark = pytest.mark.anyio


async def until(condition, seconds=20.0):
    """Wait for a condition that no event announces (a process table, a counter)."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_speaks_and_ends_with_done(engines):
    engine = engines()
    loaded = await engine.start()
    assert loaded.concurrency == 16
    assert {voice.id for voice in loaded.voices} == {"low", "mid", "high"}
    events = await collect(engine.speak(request_for("what was said")))
    assert spoken(events) == "what was said"
    assert isinstance(events[-1], Done)
    assert [type(event) for event in events].count(Done) == 1
    assert engine.status.active == 0


async def test_many_at_once_do_not_mix(engines):
    engine = engines()
    await engine.start()
    texts = [f"stream number {i} " * (i % 5 + 1) for i in range(40)]
    answers = await asyncio.gather(*(collect(engine.speak(request_for(text))) for text in texts))
    assert [spoken(events) for events in answers] == texts


async def test_a_typed_error_of_the_backend_arrives_as_its_fault(engines):
    engine = engines()
    await engine.start()
    events = await collect(engine.speak(ResolvedRequest(text="hi", voice="nobody")))
    assert [event.code for event in events if isinstance(event, Fault)] == [UnknownVoice.code]


async def test_an_unexpected_error_is_a_fault_without_its_text_and_the_worker_survives(engines):
    engine = engines()
    await engine.start()
    pid = engine.status.pid
    (fault,) = [e for e in await collect(engine.speak(request_for(fail_at=0))) if isinstance(e, Fault)]
    assert fault.code == "backend_failed"
    assert "Traceback" not in fault.message
    assert "/" not in fault.message
    assert spoken(await collect(engine.speak(request_for("still here")))) == "still here"
    assert engine.status.pid == pid


async def test_a_reader_that_stops_reading_holds_the_model_after_the_buffer(engines):
    engine = engines(worker={"buffer_seconds": 5.0})
    await engine.start()
    stream = engine.speak(request_for(seconds=60, chunk_ms=500))
    await until(lambda: stream.buffered >= 5.0)
    events = await collect(engine.speak(request_for("a later one")))  # a round trip, in which the first could continue
    assert spoken(events) == "a later one"
    assert stream.buffered <= 6.0
    total = sum(event.seconds for event in await collect(stream) if isinstance(event, AudioChunk))
    assert total == pytest.approx(60)


async def test_a_buffer_of_any_size_lets_a_stream_through(engines):
    engine = engines(worker={"buffer_seconds": 0.2})
    await engine.start()
    events = await collect(engine.speak(request_for(seconds=5)))
    assert sum(event.seconds for event in events if isinstance(event, AudioChunk)) == pytest.approx(5)


async def test_closing_a_stream_frees_its_place_within_a_chunk(engines):
    engine = engines(options={"concurrency": 1})
    await engine.start()
    stream = engine.speak(request_for(seconds=3600, paced=True, chunk_ms=100))
    assert isinstance(await anext(stream), AudioChunk)
    stream.close()
    assert (await collect(stream))[0].code == "cancelled"
    assert spoken(await collect(engine.speak(request_for("next")))) == "next"
    assert engine.status.active == 0


async def test_a_caller_that_reads_nothing_for_too_long_is_cut_off(engines):
    engine = engines(worker={"buffer_seconds": 1.0, "stall_timeout": 0.3})
    await engine.start()
    stream = engine.speak(request_for(seconds=600))
    await asyncio.wait_for(stream.ended.wait(), 20)
    (fault,) = await collect(stream)
    assert fault.code == "cancelled"
    assert "stall_timeout" in fault.message


async def test_a_crash_ends_its_streams_with_a_fault_and_a_new_worker_answers(engines):
    crashes = []
    engine = engines(on_crash=crashes.append, worker={"backoff_first": 0.0})
    await engine.start()
    pid = engine.status.pid
    streams = [engine.speak(request_for(seconds=3600, paced=True)) for _ in range(3)]
    for stream in streams:
        await anext(stream)
    os.kill(pid, signal.SIGKILL)
    endings = [(await collect(stream))[-1] for stream in streams]
    assert {ending.code for ending in endings} == {"backend_crashed"}
    await engine.start()
    assert engine.status.pid != pid
    assert spoken(await collect(engine.speak(request_for("back")))) == "back"
    assert crashes == ["was killed by SIGKILL"]


async def test_a_worker_that_ignores_a_cancel_is_killed(engines):
    engine = engines(worker={"cancel_timeout": 0.3, "backoff_first": 0.0})
    await engine.start()
    pid = engine.status.pid
    stream = engine.speak(request_for(seconds=60, hang_at=1))
    await anext(stream)
    await asyncio.sleep(0.2)  # it hangs now; a quicker cancel would come before that
    stream.close()
    await until(lambda: engine.status.crashes == 1)
    assert (await engine.start()) is not None
    assert engine.status.pid != pid


async def test_repeated_crashes_open_the_breaker_and_one_good_answer_closes_it(engines):
    engine = engines(worker={"backoff_first": 0.0, "breaker_crashes": 3, "breaker_pause": 0.5})
    for _ in range(3):
        await engine.start()
        assert (await collect(engine.speak(request_for(crash_at=0))))[-1].code == "backend_crashed"
    assert engine.status.state == "broken"
    with pytest.raises(BackendUnavailable) as refusal:
        await engine.start()
    assert 0 < refusal.value.retry_after <= 0.5
    await asyncio.sleep(refusal.value.retry_after)
    await engine.start()
    await collect(engine.speak(request_for("good")))
    assert (await collect(engine.speak(request_for(crash_at=0))))[-1].code == "backend_crashed"
    assert engine.status.state != "broken"


async def test_a_start_that_takes_too_long_names_its_setting(engines):
    engine = engines(options={"load_seconds": 60}, worker={"start_timeout": 0.5})
    with pytest.raises(WorkerStartFailed, match=r"worker\.start_timeout"):
        await engine.start()
    assert engine.status.pid is None


@pytest.mark.parametrize(
    ("synthesizer", "options", "words"),
    [
        ("no.such.module:Thing", {}, "ModuleNotFoundError"),
        ("hub.testing.tone:NoSuchClass", {}, "AttributeError"),
        ("hub.testing.tone:Tone", {"fail_load": True}, "RuntimeError"),
        ("hub.testing.tone:Tone", {"crash_load": True}, "was killed by SIGKILL before it was ready"),
    ],
)
async def test_a_worker_that_cannot_load_says_why(engines, synthesizer, options, words):
    engine = engines(synthesizer, options=options)
    with pytest.raises(WorkerStartFailed, match=words):
        await engine.start()


async def test_an_interpreter_that_is_not_there_names_its_setting(engines):
    engine = engines(python="/nowhere/bin/python")
    with pytest.raises(WorkerStartFailed, match=r"models\.tone\.python"):
        await engine.start()


async def test_concurrent_starts_share_one_worker(engines):
    engine = engines(options={"load_seconds": 0.2})
    first, second = await asyncio.gather(engine.start(), engine.start())
    assert first is second


async def test_stop_ends_streams_and_the_process_and_the_engine_can_start_again(engines):
    engine = engines()
    await engine.start()
    pid = engine.status.pid
    stream = engine.speak(request_for(seconds=3600, paced=True))
    await anext(stream)
    await engine.stop()
    assert (await collect(stream))[-1].code == "backend_unavailable"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await engine.start()
    assert spoken(await collect(engine.speak(request_for("again")))) == "again"


async def test_stop_while_starting_leaves_no_process(engines):
    engine = engines(options={"load_seconds": 30})
    starting = asyncio.create_task(engine.start())
    await until(lambda: engine.status.pid is not None)
    pid = engine.status.pid
    await engine.stop()
    with pytest.raises((asyncio.CancelledError, BackendUnavailable)):
        await starting
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_library_that_prints_does_not_disturb_the_frames(engines, tmp_path):
    (tmp_path / "noisy.py").write_text(
        "import os, sys\n"
        "print('import noise')\n"
        "os.write(1, b'raw noise\\n')\n"
        "from hub.testing.tone import Tone\n"
        "class Noisy(Tone):\n"
        "    def speak(self, request, stop):\n"
        "        print('noise', flush=True)\n"
        "        sys.__stdout__.write('more noise')\n"
        "        yield from super().speak(request, stop)\n"
    )
    engine = engines("noisy:Noisy", env={"PYTHONPATH": str(tmp_path)})
    await engine.start()
    assert spoken(await collect(engine.speak(request_for("quiet")))) == "quiet"


async def test_make_voice_and_voices_can_be_called_while_every_place_is_taken(engines):
    engine = engines(options={"concurrency": 1})
    await engine.start()
    stream = engine.speak(request_for(seconds=3600, paced=True))
    await anext(stream)
    assert len(await engine.call("voices")) == 3
    stream.close()


async def test_a_file_in_the_working_directory_cannot_shadow_a_library(engines, tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise RuntimeError('the wrong numpy')")
    monkeypatch.chdir(tmp_path)
    engine = engines()
    await engine.start()
    assert spoken(await collect(engine.speak(request_for("right")))) == "right"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX process table")
@pytest.mark.parametrize("kills", [10, pytest.param(200, marks=pytest.mark.slow)])
async def test_kills_leave_no_zombie_and_no_descriptor(engines, kills):
    engine = engines(worker={"backoff_first": 0.0, "breaker_crashes": 10_000})
    others = children()  # servers that tests share
    await engine.start()
    before = len(os.listdir("/proc/self/fd"))
    for i in range(kills):
        stream = engine.speak(request_for(seconds=3600, paced=True))
        await anext(stream)
        os.kill(engine.status.pid, signal.SIGKILL)
        assert (await collect(stream))[-1].code == "backend_crashed"
        await engine.start()
        if i % 50 == 0:
            assert spoken(await collect(engine.speak(request_for("between")))) == "between"
    assert engine.status.crashes == kills
    await until(lambda: len(os.listdir("/proc/self/fd")) <= before)
    assert children() - others == {engine.status.pid}


def children():
    """Pids of this process's children, zombies included."""
    mine = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parent = int(stat.read().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == os.getpid():
                mine.add(int(entry))
    return mine
