"""The tone backend: it conforms, its audio can be read back, and it misbehaves on request."""

import io
import os
import time

import msgspec
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.contract import AudioChunk, ModelConfig, Reference, ResolvedRequest, VoiceDraft
from hub.contract.errors import InvalidRequest
from hub.engine.process import ProcessEngine
from hub.testing import tone
from hub.testing.conformance import BackendConformance
from hub.testing.driver import Driver
from hub.testing.tone import PITCHES, SAMPLE_RATE, Tone, decode, pitch_of

SPEC = tone.register_backends(None)[0]


class TestConformance(BackendConformance):
    backend = SPEC
    plugin = "hub.testing.tone"
    text = "Every byte is heard."
    long_text = "A text that takes a while to play, because each byte of it takes forty milliseconds."
    options = {"marks": True}
    bad_options = ({"chunk_ms": 0}, {"chunk_ms": 1001}, {"seconds": 0}, {"paced": "yes"}, {"fail_at": -1})


class Never:
    def is_set(self):
        return False


class AfterCalls:
    """Set once it has been asked `count` times."""

    def __init__(self, count):
        self.left = count

    def is_set(self):
        self.left -= 1
        return self.left < 0


@pytest.fixture(scope="module")
def synthesizer():
    synthesizer = Tone()
    synthesizer.load(ModelConfig(name="tone"))
    return synthesizer


def play(synthesizer, text, stop=None, **fields):
    events = synthesizer.speak(ResolvedRequest(text=text, **fields), stop or Never())
    return [event for event in events if isinstance(event, AudioChunk)]


def samples_of(chunks):
    return np.concatenate([np.frombuffer(chunk.pcm, "<f4") for chunk in chunks])


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(text=TEXTS, speed=st.floats(0.25, 4.0), voice=st.sampled_from(list(PITCHES)), chunk_ms=st.integers(1, 1000))
@settings(max_examples=60, deadline=None)
def test_any_text_can_be_read_back(synthesizer, text, speed, voice, chunk_ms):
    samples = samples_of(play(synthesizer, text, speed=speed, voice=voice, options={"chunk_ms": chunk_ms}))
    in_16_bits = np.round(samples * 32767) / 32767
    assert decode(in_16_bits, SAMPLE_RATE) == text


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0])
def test_it_survives_resampling(synthesizer, rate, speed):
    text = "Grüße, 你好, \U0001f600!"
    samples = samples_of(play(synthesizer, text, speed=speed, voice="high"))
    resampled = soxr.resample(samples, SAMPLE_RATE, rate)
    assert decode(resampled, rate) == text
    assert pitch_of(resampled, rate) == PITCHES["high"]


def test_other_audio_is_not_read_as_text():
    with pytest.raises(ValueError, match="too short"):
        decode(np.zeros(100, np.float32), SAMPLE_RATE)


@pytest.mark.parametrize("voice", PITCHES)
def test_a_voice_is_a_pitch(synthesizer, voice):
    assert pitch_of(samples_of(play(synthesizer, "Which voice is this?", voice=voice)), SAMPLE_RATE) == PITCHES[voice]


def test_spans_cover_the_text_character_by_character(synthesizer):
    text = "héllo 你好 \U0001f600"
    spans = [chunk.span for chunk in play(synthesizer, text, options={"chunk_ms": 40})]
    assert len(spans) == len(text.encode())
    assert [text[slice(*span)] for span in spans] == [char for char in text for _ in char.encode()]


def test_marks_give_the_time_of_each_word(synthesizer):
    text = "one zwölf three"
    request = ResolvedRequest(text=text, options={"marks": True, "chunk_ms": 80})
    events = list(synthesizer.speak(request, Never()))
    samples = samples_of([event for event in events if isinstance(event, AudioChunk)])
    marks = [event for event in events if not isinstance(event, AudioChunk)]
    assert [mark.text for mark in marks] == text.split()
    assert [text[slice(*mark.span)] for mark in marks] == text.split()
    header = samples[: 2 * tone.SYMBOL].copy()
    for mark in marks:
        word = samples[round(mark.start * SAMPLE_RATE) : round(mark.end * SAMPLE_RATE)]
        assert decode(np.concatenate([header, word]), SAMPLE_RATE) == mark.text


def test_the_seed_is_in_the_samples_and_not_in_the_text(synthesizer):
    one, two = (samples_of(play(synthesizer, "same text", seed=seed)) for seed in (1, 2))
    assert not np.array_equal(one, two)
    assert decode(one, SAMPLE_RATE) == decode(two, SAMPLE_RATE) == "same text"


def test_a_long_hum_costs_no_memory(synthesizer):
    chunks = synthesizer.speak(ResolvedRequest(text="x", options={"seconds": 3600, "chunk_ms": 500}), Never())
    assert sum(chunk.seconds for chunk in chunks) == pytest.approx(3600)


def test_stop_ends_it_before_the_next_chunk(synthesizer):
    assert len(play(synthesizer, "x" * 100, AfterCalls(3), options={"chunk_ms": 40})) == 3


def wav(samples, rate=16_000, subtype="FLOAT"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()


def hum_of(synthesizer, *recordings):
    references = tuple(Reference(audio=recording) for recording in recordings)
    pitch = pitch_of(samples_of(play(synthesizer, "Who is this?", references=references)), SAMPLE_RATE)
    assert int(synthesizer.make_voice(VoiceDraft(references=references))) == pitch
    return pitch


def test_a_recording_gives_a_pitch_by_its_length_and_loudness(synthesizer):
    second = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32)
    plain = hum_of(synthesizer, wav(second))
    assert plain in tone.CLONED_PITCHES
    assert hum_of(synthesizer, wav(second + 1e-5)) == plain  # too small a change to matter
    assert hum_of(synthesizer, wav(soxr.resample(second, 16_000, 48_000, "VHQ"), 48_000)) == plain
    assert (hum_of(synthesizer, wav(np.tile(second, 2))) - plain) % 200 == 50
    assert (hum_of(synthesizer, wav(second / 2)) - plain) % 200 == 200 - 30
    assert hum_of(synthesizer, wav(second), wav(np.tile(second, 2))) not in (plain, plain + 50)


@pytest.mark.parametrize("shape", [(1600,), (1600, 2)])
def test_references_must_come_as_the_contract_says(synthesizer, shape):
    subtype = "PCM_16" if len(shape) == 1 else "FLOAT"
    reference = Reference(audio=wav(np.zeros(shape, np.float32), subtype=subtype))
    with pytest.raises(RuntimeError, match="a recording came as WAV"):
        play(synthesizer, "x", references=(reference,))


def test_paced_chunks_are_due_one_lead_before_the_player_needs_them(synthesizer, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)  # the clock stands still except in sleep
    chunks = play(synthesizer, "x", options={"seconds": 0.5, "chunk_ms": 100, "paced": True, "lead_ms": 100})
    assert len(chunks) == 5
    assert slept == pytest.approx([0.1, 0.2, 0.3])


def test_work_is_simulated_for_each_chunk(synthesizer, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    play(synthesizer, "x", options={"seconds": 0.3, "step_ms": 7})
    assert slept == [0.007] * 3


@pytest.mark.parametrize(
    ("options", "check"),
    [
        ({"silent": True}, lambda samples: not samples.any()),
        ({"nan": True}, lambda samples: np.isnan(samples).all()),
    ],
)
def test_bad_samples_on_demand(synthesizer, options, check):
    assert check(samples_of(play(synthesizer, "x", options=options)))


def test_no_audio_on_demand(synthesizer):
    assert play(synthesizer, "x", options={"empty": True}) == []


def test_options_are_checked(synthesizer):
    with pytest.raises(InvalidRequest, match="chunk_ms"):
        play(synthesizer, "x", options={"chunk_ms": 0})


def driver(**options):
    return Driver(SPEC, ModelConfig(name="tone", options=options), patience=60)


def test_it_fails_at_a_chunk_and_lives_on():
    tones = driver()
    try:
        answer = tones.speak(ResolvedRequest(text="x" * 20, options={"fail_at": 2, "chunk_ms": 80}))
        assert answer.fault.code == "backend_failed"
        assert len(answer.chunks) == 2
        assert tones.speak(ResolvedRequest(text="fine")).fault is None
    finally:
        tones.close()


def test_it_crashes_at_a_chunk():
    tones = driver()
    try:
        pid = tones.start() and tones.engine.status.pid
        answer = tones.speak(ResolvedRequest(text="x" * 20, options={"crash_at": 1}))
        assert answer.fault.code == "backend_crashed"
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    finally:
        tones.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fail_load": True}, "did not load"),
        ({"crash_load": True}, "SIGKILL"),
        ({"concurrency": 0}, "concurrency"),
        ({"no_such_option": 1}, "no_such_option"),
    ],
)
def test_it_does_not_load_on_demand(options, message):
    tones = driver(**options)
    try:
        with pytest.raises(Exception, match=message) as caught:
            tones.start()
        assert type(caught.value).__module__ == "hub.contract.errors"
    finally:
        tones.close()


def test_the_load_options_set_the_concurrency():
    tones = driver(concurrency=3)
    try:
        assert tones.start().concurrency == 3
    finally:
        tones.close()


async def test_a_hang_ignores_stop_until_the_worker_is_killed(anyio_backend):
    from hub.settings import WorkerSettings

    engine = ProcessEngine(
        ModelConfig(name="tone"),
        SPEC.synthesizer,
        settings=WorkerSettings(cancel_timeout=0.2, backoff_first=0.0),
    )
    try:
        await engine.start()
        stream = engine.speak(ResolvedRequest(text="x" * 20, options={"hang_at": 1}))
        assert isinstance(await anext(stream), AudioChunk)
        stream.close()
        await stream.ended.wait()
        assert engine.status.crashes == 1
    finally:
        await engine.stop()


def test_the_schema_of_its_options_can_be_published():
    assert "chunk_ms" in msgspec.json.encode(msgspec.json.schema(tone.ToneOptions)).decode()
