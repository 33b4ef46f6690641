"""Hub.encode, Hub.decode and Hub.convert with real workers."""

import asyncio
import io

import numpy as np
import pytest
import soundfile

from hub.contract import AudioChunk, AudioFormat, ConversionRequest, Observer, Reference, SpeechRequest, Tokens
from hub.contract.errors import (
    DeadlineExceeded,
    EmptyAudio,
    InvalidAudio,
    InvalidRequest,
    TooLarge,
    UnknownModel,
    UnknownVoice,
    UnsupportedCapability,
)
from hub.plugin.spec import hookimpl
from hub.service.library.voice_folder import Facts
from hub.service.speech.codec import MOST_FRAMES
from hub.settings import LimitSettings, ModelSettings
from hub.testing import tone

pytestmark = pytest.mark.anyio

ABLE = {"codec": True, "conversion": True}


class Reports(Observer):
    """A plugin that keeps the reports."""

    def __init__(self):
        self.ended = []

    @hookimpl
    def register_observers(self):
        return [self]

    def speech_ended(self, report):
        self.ended.append(report)

    def worker_crashed(self, model, reason):
        raise AssertionError(f"{model}: {reason}")


@pytest.fixture
def reports():
    return Reports()


async def able(hubs, **options):
    return await hubs(model={"options": {**ABLE, **options}})


def recording(samples, rate=tone.SAMPLE_RATE, form="FLAC"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form)
    return file.getvalue()


async def samples_of(speech):
    return np.concatenate([np.frombuffer(e.pcm, "<f4") async for e in speech if isinstance(e, AudioChunk)])


async def said(hub, text="what was said", **fields):
    return recording(await samples_of(await hub.speak(SpeechRequest(text=text, **fields))))


async def test_a_recording_becomes_tokens_and_tokens_become_audio(hubs, reports):
    hub = await hubs(model={"options": ABLE}, plugins=[reports])
    encoded = await hub.encode(await said(hub), request_id="enc")
    assert (encoded.model, encoded.tokens.codebooks) == ("tone", 2)
    assert encoded.seconds == pytest.approx(encoded.tokens.frames / tone.SAMPLE_RATE)
    decoded = await hub.decode(encoded.tokens, model="tone", request_id="dec")
    assert (decoded.sample_rate, decoded.model, decoded.voice, decoded.request_id) == (24_000, "tone", "", "dec")
    assert tone.decode(await samples_of(decoded), 24_000) == "what was said"
    found = {report.request_id: report for report in reports.ended}
    assert [(found[id].outcome, found[id].chars) for id in ("enc", "dec")] == [("ok", 0)] * 2
    assert found["enc"].audio == 0.0
    assert found["dec"].audio == pytest.approx(encoded.seconds)
    assert hub.models.get("tone").lane.running == 0


async def test_what_a_codec_cannot_use_is_refused(hubs, reports):
    hub = await hubs(model={"options": ABLE}, plugins=[reports], limits=LimitSettings(reference_seconds=1.0))
    for audio, error in ((b"no audio", InvalidAudio), (recording(np.zeros(72_000)), InvalidAudio)):
        with pytest.raises(error):
            await hub.encode(audio)
    for tokens, error in (
        (Tokens.from_rows([]), InvalidRequest),
        (Tokens.from_rows([[], []]), InvalidRequest),
        (Tokens.from_rows([[1], [2], [3]]), InvalidRequest),
        (Tokens(ids=bytes(4 * MOST_FRAMES + 4), codebooks=1), TooLarge),
    ):
        with pytest.raises(error):
            await hub.decode(tokens)
    assert {report.outcome for report in reports.ended} == {"invalid_audio", "invalid_request", "too_large"}


async def test_a_codec_call_has_a_place_in_the_lane_until_it_ends(hubs):
    hub = await able(hubs, concurrency=1, codec_seconds=0.5)
    lane = hub.models.get("tone").lane
    calls = [asyncio.create_task(hub.decode(Tokens.from_rows([[128] * 9, [0] * 9]))) for _ in range(2)]
    while not lane.running or not lane.waiting:
        await asyncio.sleep(0.01)
    calls[0].cancel()
    await asyncio.wait([calls[0]])
    assert lane.running == 1, "the worker is still at it"
    await calls[1]
    assert lane.running == 0


async def test_a_codec_that_takes_too_long_ends_in_time(hubs):
    hub = await hubs(model={"options": {**ABLE, "codec_seconds": 2.0}, "deadline": 0.4, "preload": False})
    await hub.models.get("tone").start()
    with pytest.raises(DeadlineExceeded, match="codec"):
        await hub.decode(Tokens.from_rows([[128], [0]]))


async def test_a_model_without_the_capability_is_named_and_another_is_found(hubs):
    models = {
        "plain": ModelSettings(backend="tone"),
        "able": ModelSettings(backend="tone", options=ABLE),
    }
    hub = await hubs(models=models)
    audio = await said(hub)
    for model in models:
        await hub.models.get(model).start()
    for refused, capability in (
        (hub.encode(audio, model="plain"), "codec"),
        (hub.decode(Tokens.from_rows([[1], [1]]), model="plain"), "codec"),
        (hub.convert(ConversionRequest(audio=audio, model="plain")), "conversion"),
    ):
        with pytest.raises(UnsupportedCapability, match=f"model 'plain' has no {capability}: ") as caught:
            await refused
        assert caught.value.detail == {"model": "plain", "capability": capability}
    assert (await hub.encode(audio)).model == "able"
    with pytest.raises(UnknownModel):
        await hub.encode(audio, model="nobody")


async def test_a_recording_is_said_by_a_preset_a_stored_voice_references_and_a_mixture(hubs):
    hub = await able(hubs, mixing=True)
    audio = await said(hub, "say it again", voice="low")

    async def pitch(**fields):
        speech = await hub.convert(ConversionRequest(audio=audio, **fields), request_id="c")
        samples = await samples_of(speech)
        assert tone.decode(samples, 24_000) == "say it again"
        return speech.voice, tone.pitch_of(samples, 24_000)

    assert await pitch() == ("mid", 165)
    assert await pitch(voice="high") == ("high", 220)
    reference = Reference(audio=recording(0.3 * np.sin(np.arange(24_000) / 9)))
    unnamed, cloned = await pitch(references=(reference,))
    assert (unnamed, cloned in tone.CLONED_PITCHES) == ("", True)
    stored = Reference(audio=recording(0.3 * np.sin(np.arange(24_000) / 9), form="WAV"))
    await asyncio.to_thread(hub.voices.create, "ann", Facts(), (stored,))
    assert await pitch(voice="ann") == ("ann", cloned)
    assert (await pitch(voice="low(1)+high(1)"))[1] == 165


async def test_the_same_seed_gives_the_same_audio_and_speed_changes_the_pace(hubs):
    hub = await able(hubs)
    audio = await said(hub)

    async def samples(**fields):
        return await samples_of(await hub.convert(ConversionRequest(audio=audio, **fields)))

    first, second, fast = [await samples(seed=5), await samples(seed=5), await samples(speed=2.0)]
    assert np.array_equal(first, second)
    assert len(fast) < 0.6 * len(first)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"voice": "nobody"}, UnknownVoice),
        ({"voice": "low", "references": (Reference(audio=b"x"),)}, InvalidRequest),
        ({"references": (Reference(audio=b"x"),)}, InvalidAudio),
        ({"options": {"no_such": 1}}, InvalidRequest),
        ({"format": AudioFormat(container="tape")}, InvalidRequest),
        ({"options": {"silent": True}}, EmptyAudio),
        ({"options": {"empty": True}}, EmptyAudio),
    ],
)
async def test_conversions_that_cannot_be_are_refused(hubs, fields, error):
    hub = await able(hubs)
    audio = await said(hub)
    with pytest.raises(error):
        await hub.convert(ConversionRequest(audio=audio, **fields))
    with pytest.raises(InvalidAudio):
        await hub.convert(ConversionRequest(audio=b"no audio"))
    assert hub.models.get("tone").lane.running == 0


async def test_leaving_a_conversion_stops_the_model(hubs, reports):
    hub = await hubs(model={"options": ABLE}, plugins=[reports])
    audio = await said(hub, "a long text " * 40)
    speech = await hub.convert(ConversionRequest(audio=audio, options={"paced": True}), request_id="left")
    await speech.aclose()
    async with asyncio.timeout(20):
        while hub.models.get("tone").lane.running:
            await asyncio.sleep(0.01)
    assert [report.outcome for report in reports.ended if report.request_id == "left"] == ["cancelled"]
