"""Codecs and conversion of an engine, in a worker process and inline."""

import asyncio

import msgspec
import numpy as np
import pytest

from hub.audio.decode import Audio, to_wav_f32
from hub.contract import AudioChunk, ModelConfig, ResolvedConversion, ResolvedRequest, Tokens
from hub.contract.errors import InvalidRequest
from hub.testing import tone
from tests.support.inline import InlineEngine

pytestmark = pytest.mark.anyio

OPTIONS = {"codec": True, "conversion": True}


@pytest.fixture(params=["process", "inline"])
async def engine(request, engines):
    if request.param == "process":
        made = engines(options=OPTIONS)
        await made.start()
        yield made
        return
    made = InlineEngine(ModelConfig(name="tone", options=OPTIONS), tone.Tone())
    await made.start()
    yield made
    await made.stop()


async def samples_of(stream):
    chunks = [event async for event in stream]
    return np.frombuffer(b"".join(chunk.pcm for chunk in chunks if isinstance(chunk, AudioChunk)), "<f4"), chunks[-1]


async def test_tokens_go_there_and_back(engine):
    said, _ = await samples_of(engine.speak(ResolvedRequest(text="there and back")))
    tokens = msgspec.convert(await engine.call("encode", to_wav_f32(Audio(said, tone.SAMPLE_RATE))), Tokens)
    assert (tokens.codebooks, tokens.frames) == (2, len(said))
    chunk = msgspec.convert(await engine.call("decode", tokens), AudioChunk)
    assert tone.decode(np.frombuffer(chunk.pcm, "<f4"), chunk.sample_rate) == "there and back"
    with pytest.raises(InvalidRequest, match="2 codebooks of 256"):
        await engine.call("decode", Tokens.from_rows([[1]]))


async def test_a_recording_is_said_again_by_another_voice(engine):
    said, _ = await samples_of(engine.speak(ResolvedRequest(text="who says this?", voice="low")))
    wanted = ResolvedConversion(audio=to_wav_f32(Audio(said, tone.SAMPLE_RATE)), voice="high", seed=1)
    again, _ = await samples_of(engine.convert(wanted, "req"))
    assert tone.decode(again, tone.SAMPLE_RATE) == "who says this?"
    assert (tone.pitch_of(said, tone.SAMPLE_RATE), tone.pitch_of(again, tone.SAMPLE_RATE)) == (110, 220)


async def test_a_conversion_is_cancelled_and_fails_as_speech_does(engine):
    said, _ = await samples_of(engine.speak(ResolvedRequest(text="a longer text " * 10)))
    audio = to_wav_f32(Audio(said, tone.SAMPLE_RATE))
    paced = engine.convert(ResolvedConversion(audio=audio, options={"paced": True}))
    await anext(paced)
    paced.close()
    await asyncio.wait_for(paced.ended.wait(), 20)
    _, fault = await samples_of(engine.convert(ResolvedConversion(audio=audio, options={"fail_at": 1})))
    assert fault.code == "backend_failed"
    noise = to_wav_f32(Audio(np.full(8000, 0.1, np.float32), 8000))
    _, fault = await samples_of(engine.convert(ResolvedConversion(audio=noise)))
    assert fault.code == "invalid_audio"


def test_tokens_are_rows_of_equal_length():
    tokens = Tokens.of(np.arange(6, dtype=np.int32).reshape(2, 3))
    assert (tokens.rows, tokens.frames) == ([[0, 1, 2], [3, 4, 5]], 3)
    assert Tokens.from_rows([[0, 1, 2], [3, 4, 5]]) == tokens
    assert (Tokens.from_rows([]).frames, Tokens.from_rows([[], []]).frames) == (0, 0)
    for wrong in (np.zeros((2, 3)), np.zeros(3, np.int32), np.zeros((2, 3), np.int32).T):
        with pytest.raises(TypeError, match="two-dimensional int32"):
            Tokens.of(wrong)
    with pytest.raises(ValueError, match="differ in length"):
        Tokens.from_rows([[1], [1, 2]])
    with pytest.raises(OverflowError):
        Tokens.from_rows([[2**31]])
