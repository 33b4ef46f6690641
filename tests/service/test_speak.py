"""Hub.speak with real workers: refusals, valid answers, and reports."""

import asyncio
import io
import os
import signal
import types

import numpy as np
import pytest
import soundfile

from hub import hookimpl
from hub.contract import AudioChunk, AudioFormat, Done, Mark, Reference, Sampling, SpeechRequest, Turn
from hub.contract.errors import (
    BackendCrashed,
    BackendFailed,
    Busy,
    DeadlineExceeded,
    EmptyAudio,
    EmptyText,
    HubError,
    InvalidAudio,
    InvalidRequest,
    NotFound,
    TooLarge,
    UnknownModel,
    UnknownScene,
    UnknownVoice,
    UnspeakableText,
    UnsupportedCapability,
    WorkerStartFailed,
)
from hub.settings import LimitSettings, ModelSettings, SettingsError
from hub.testing import tone
from hub.text.live_text import LiveText

pytestmark = pytest.mark.anyio


def say(text="hello there", options=None, **fields):
    return SpeechRequest(text=text, options=options or {}, **fields)


async def read(speech):
    events = [event async for event in speech]
    samples = np.concatenate([np.frombuffer(e.pcm, "<f4") for e in events if isinstance(e, AudioChunk)])
    return events, samples


async def heard(speech):
    _, samples = await read(speech)
    return tone.decode(samples, tone.SAMPLE_RATE)


async def test_an_answer_has_its_audio_marks_model_and_voice(hubs):
    hub = await hubs()
    speech = await hub.speak(say("hello there", {"marks": True}), request_id="r-1")
    assert (speech.model, speech.voice, speech.sample_rate, speech.request_id) == ("tone", "mid", 24_000, "r-1")
    events, samples = await read(speech)
    assert tone.decode(samples, 24_000) == "hello there"
    assert [event.text for event in events if isinstance(event, Mark)] == ["hello", "there"]
    assert isinstance(events[-1], Done)


async def test_each_voice_speaks_as_itself(hubs):
    hub = await hubs()
    for voice, pitch in tone.PITCHES.items():
        speech = await hub.speak(say(voice=voice))
        assert speech.voice == voice
        _, samples = await read(speech)
        assert tone.pitch_of(samples, 24_000) == pitch


async def test_references_reach_the_model_as_float_wav_and_change_the_voice(hubs):
    hub = await hubs()
    buffer = io.BytesIO()
    time = np.arange(16_000) / 16_000
    soundfile.write(buffer, np.stack([np.sin(2000 * time), np.sin(2000 * time)], 1), 16_000, format="FLAC")
    speech = await hub.speak(say(references=(Reference(audio=buffer.getvalue(), text="a tone"),)))
    assert speech.voice == ""
    _, samples = await read(speech)
    assert tone.pitch_of(samples, 24_000) in tone.CLONED_PITCHES


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (SpeechRequest(), EmptyText, "no text"),
        (say("   \n"), EmptyText, "no text"),
        (say("?!… 🎉 ---"), UnspeakableText, "no letter"),
        (say("\u200b\u0007"), UnspeakableText, "no letter"),
        (say("x" * 2001), TooLarge, "limits.text_chars"),
        (say("hi", turns=(Turn(text="ho"),)), InvalidRequest, "not both"),
        (say(model="nope"), UnknownModel, "there are: tone"),
        (say(voice="nope"), UnknownVoice, "low, mid, high"),
        (say(instruct="angrily"), UnsupportedCapability, "instruct"),
        (say(scene="cafe"), UnknownScene, "no scene"),
        (say(sampling=Sampling(top_k=5)), UnsupportedCapability, "sampling"),
        (SpeechRequest(turns=(Turn(text="ho", instruct="angrily"),)), UnsupportedCapability, "instruct"),
        (SpeechRequest(turns=(Turn(text="ho"), Turn(text="  "))), EmptyText, "no text"),
        (say("[pause:1s] ... [pause:2s]"), UnspeakableText, "no letter"),
        (say("one [pause:soon] two"), InvalidRequest, "invalid pause"),
        (say(pronunciations={"a": "/a/"}), UnsupportedCapability, "phonemes"),
        (say("a b " * 400, pronunciations={"a": "y" * 100}), TooLarge, "after filters and pronunciations"),
        (say(dictionary="nope"), NotFound, "no dictionary"),
        (say(options={"chunk_mss": 5}), InvalidRequest, "chunk_ms"),
        (say(options={"chunk_ms": "long"}), InvalidRequest, "chunk_ms"),
        (say(options={"chunk_ms": 0}), InvalidRequest, "chunk_ms"),
        (say(format=AudioFormat(container="wma")), InvalidRequest, "wma"),
        (say(format=AudioFormat(container="opus", sample_rate=44_100)), InvalidRequest, "48000"),
        (say(references=(Reference(audio=b"not audio"),)), InvalidAudio, ""),
        (say(voice="low", references=(Reference(audio=b"x"),)), InvalidRequest, "not both"),
    ],
)
async def test_what_cannot_be_answered_is_refused(hubs, request_, error, words):
    hub = await hubs(limits=LimitSettings(text_chars=2000))
    with pytest.raises(error) as refusal:
        await hub.speak(request_)
    assert words in refusal.value.message
    assert hub.models.get("tone").lane.running == 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"empty": True}, EmptyAudio, "no audio"),
        ({"seconds": 0.04}, EmptyAudio, "only 40 ms"),
        ({"silent": True}, EmptyAudio, "only silence"),
        ({"nan": True}, EmptyAudio, "not numbers"),
        ({"fail_at": 0}, BackendFailed, "RuntimeError"),
        ({"crash_at": 0}, BackendCrashed, "try again"),
    ],
)
async def test_an_answer_that_is_none_is_an_error(hubs, options, error, words):
    hub = await hubs()
    with pytest.raises(error, match=words):
        await hub.speak(say(options=options))
    assert await heard(await hub.speak(say("afterwards"))) == "afterwards"
    assert hub.models.get("tone").lane.running == 0


async def test_a_fault_in_the_middle_is_raised_where_it_happens(hubs):
    hub = await hubs()
    speech = await hub.speak(say(options={"fail_at": 2, "chunk_ms": 100}))
    events = []
    with pytest.raises(BackendFailed):
        async for event in speech:
            events.append(event)
    assert len(events) == 2


async def test_the_first_audio_does_not_wait_for_the_last(hubs):
    hub = await hubs()
    speech = await hub.speak(say(options={"seconds": 3600, "paced": True}))
    assert isinstance(await anext(speech), AudioChunk)
    await speech.aclose()


async def test_leaving_frees_the_place(hubs):
    hub = await hubs(model={"options": {"concurrency": 1}})
    speech = await hub.speak(say(options={"seconds": 3600, "paced": True}))
    await speech.aclose()
    assert await heard(await hub.speak(say("next"))) == "next"


async def test_cancel_while_queued_takes_no_place(hubs):
    hub = await hubs(model={"options": {"concurrency": 1}})
    holding = await hub.speak(say(options={"seconds": 3600, "paced": True}))
    queued = asyncio.create_task(hub.speak(say("never")))
    lane = hub.models.get("tone").lane
    while lane.waiting == 0:
        await asyncio.sleep(0.01)
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    assert (lane.running, lane.waiting) == (1, 0)
    await holding.aclose()


async def test_a_full_queue_is_429_with_a_wait(hubs):
    hub = await hubs(model={"queue": 0, "options": {"concurrency": 1}})
    holding = await hub.speak(say(options={"seconds": 3600, "paced": True}))
    with pytest.raises(Busy) as refusal:
        await hub.speak(say("one too many"))
    assert refusal.value.retry_after >= 1
    await holding.aclose()


@pytest.mark.parametrize("options", [{"hang_at": 0}, {"step_ms": 60_000}])
async def test_no_audio_before_the_deadline_is_an_error(hubs, options):
    hub = await hubs(model={"deadline": 1.0})
    await hub.models.get("tone").start()
    with pytest.raises(DeadlineExceeded, match="deadline"):
        await hub.speak(say(options=options))


async def test_a_model_that_loads_too_slowly_is_an_error_by_the_deadline(hubs):
    hub = await hubs(model={"deadline": 0.5, "options": {"load_seconds": 30}})
    with pytest.raises(DeadlineExceeded, match="still loading"):
        await hub.speak(say())
    assert not hub.ready


async def test_a_model_that_cannot_load_says_so(hubs):
    hub = await hubs(model={"options": {"fail_load": True}})
    with pytest.raises(WorkerStartFailed):
        await hub.speak(say())


async def test_kill_nine_during_one_of_eight_streams_touches_only_its_own_model(hubs):
    hub = await hubs(models={name: ModelSettings(backend="tone") for name in ("one", "two")})
    long = {"seconds": 3.0, "paced": True, "chunk_ms": 50}
    doomed = await hub.speak(say(model="one", options=long))
    others = [await hub.speak(say(model="two", options=long)) for _ in range(7)]
    os.kill(hub.models.get("one").engine.status.pid, signal.SIGKILL)
    with pytest.raises(BackendCrashed):
        await read(doomed)
    for _, samples in await asyncio.gather(*map(read, others)):
        assert len(samples) == 3 * 24_000
    assert await heard(await hub.speak(say("recovered", model="one"))) == "recovered"


async def test_reports_tell_how_it_went(hubs):
    reports, crashes = [], []

    class Observer:
        def speech_ended(self, report):
            reports.append(report)

        def worker_crashed(self, model, reason):
            crashes.append((model, reason))

    class Clumsy:
        def speech_ended(self, report):
            raise RuntimeError("an observer that fails disturbs no request")

        worker_crashed = speech_ended

    plugin = types.ModuleType("watching")
    plugin.register_observers = hookimpl(lambda: [Clumsy(), Observer()])
    hub = await hubs(plugins=[plugin])
    _, samples = await read(await hub.speak(say("hello", voice="low"), request_id="a"))
    with pytest.raises(UnknownVoice):
        await hub.speak(say(voice="nope"), request_id="b")
    left = await hub.speak(say(options={"seconds": 3600, "paced": True}), request_id="c")
    await left.aclose()
    with pytest.raises(BackendCrashed):
        await hub.speak(say(options={"crash_at": 0}), request_id="d")
    assert [(report.request_id, report.outcome) for report in reports] == [
        ("a", "ok"),
        ("b", "unknown_voice"),
        ("c", "cancelled"),
        ("d", "backend_crashed"),
    ]
    first = reports[0]
    assert (first.model, first.backend, first.voice, first.chars) == ("tone", "tone", "low", 5)
    assert first.audio == pytest.approx(len(samples) / 24_000)
    assert 0 <= first.queued <= first.first_audio <= first.total
    assert crashes == [("tone", "was killed by SIGKILL")]


async def test_what_a_loaded_model_cannot_do_is_refused_before_a_recording_is_decoded(hubs):
    hub = await hubs()
    await hub.models.get(None).start()
    with pytest.raises(UnsupportedCapability, match="instruct"):
        await hub.speak(say(references=(Reference(audio=b"not audio"),), instruct="angrily"))


@pytest.mark.parametrize("live_text", [True, False])
async def test_a_live_text_that_is_refused_is_reported_too(hubs, live_text):
    reports = []

    class Observer:
        def speech_ended(self, report):
            reports.append((report.request_id[0], report.model, report.outcome))

        def worker_crashed(self, model, reason):
            raise AssertionError(reason)

    plugin = types.ModuleType("watching")
    plugin.register_observers = hookimpl(lambda: [Observer()])
    hub = await hubs(plugins=[plugin], model={"options": {"live_text": live_text}})
    for number, fields in enumerate(({"voice": "nope"}, {"references": (Reference(audio=b"AAAA"),)})):
        text = LiveText(1000)
        text.write("Hello there.")
        text.end()
        with pytest.raises(HubError):
            await hub.speak_live(SpeechRequest(**fields), text, request_id=str(number))
    assert reports == [("0", "tone", "unknown_voice"), ("1", "tone", "invalid_audio")]


async def test_text_filters_rewrite_what_is_spoken(hubs):
    class Glossary:
        order = 0

        def filter(self, text, request):
            return text.replace("TTS", "tea tea ess")

    plugin = types.ModuleType("glossary")
    plugin.register_text_filters = hookimpl(lambda: [Glossary()])
    hub = await hubs(plugins=[plugin])
    assert await heard(await hub.speak(say("the TTS hub"))) == "the tea tea ess hub"


async def test_a_filter_that_leaves_nothing_is_an_error_not_silence(hubs):
    class Eraser:
        order = 0

        def filter(self, text, request):
            return ""

    plugin = types.ModuleType("eraser")
    plugin.register_text_filters = hookimpl(lambda: [Eraser()])
    hub = await hubs(plugins=[plugin])
    with pytest.raises(EmptyText):
        await hub.speak(say("gone"))


async def test_the_default_model_is_the_first_or_the_one_named(hubs):
    two = {name: ModelSettings(backend="tone", preload=False) for name in ("one", "two")}
    assert (await hubs(models=two)).models.get(None).name == "one"
    assert (await hubs(models=two, default_model="two")).models.get("").name == "two"
    with pytest.raises(SettingsError, match="default_model"):
        await hubs(models=two, default_model="three")


async def test_an_unknown_backend_is_a_settings_error_that_names_those_there_are(hubs):
    with pytest.raises(SettingsError, match="hibari, tone"):
        await hubs(models={"x": ModelSettings(backend="hibri")})


async def test_without_configuration_the_embedded_voice_is_there(hubs):
    hub = await hubs(models={})
    assert hub.models.get(None).name == "hibari"
