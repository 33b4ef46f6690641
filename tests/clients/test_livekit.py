"""LiveKit Agents' OpenAI text-to-speech plugin against the hub."""

import asyncio

import numpy as np
import pytest

from hub.testing import tone

pytest.importorskip("livekit.plugins.openai")

from livekit.agents import APIStatusError, tts
from livekit.agents.tokenize import basic
from livekit.plugins import openai

pytestmark = pytest.mark.anyio

TEXT = "what the agent has to say"


@pytest.fixture
async def speak(tones):
    """speak(**options): the plugin's TTS at the hub; all are closed after the test."""
    made = []

    def make(**options):
        made.append(openai.TTS(base_url=f"{tones.url}/v1", api_key="none", model="tone", voice="low", **options))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


def joined(frames):
    assert {(frame.sample_rate, frame.num_channels) for frame in frames} == {(24_000, 1)}
    return np.concatenate([np.frombuffer(frame.data, "<i2") for frame in frames]) / 32768


def heard(samples, text=TEXT, symbol=0.04):
    """The text played in the time that `text` takes; LiveKit pads its last frame with silence."""
    length = round(24_000 * (2 * 0.04 + len(text) * symbol))
    assert length <= len(samples) <= length + 24_000 / 4
    return tone.decode(samples[:length], 24_000)


async def test_synthesize(speak):
    async with speak(response_format="pcm").synthesize(TEXT) as stream:
        samples = joined([audio.frame async for audio in stream])
    assert heard(samples) == TEXT
    assert tone.pitch_of(samples, 24_000) == tone.PITCHES["low"]


@pytest.mark.parametrize("response_format", ["mp3", "opus", "wav", "flac"])
async def test_formats_that_livekit_decodes_itself(speak, response_format):
    async with speak(response_format=response_format).synthesize(TEXT) as stream:
        samples = joined([audio.frame async for audio in stream])
    if response_format == "wav":
        assert heard(samples) == TEXT
    else:  # its decoder drops the first frame after probing it (libav's `nobuffer`), with any server
        assert len(samples) / 24_000 == pytest.approx((2 + len(TEXT)) * 0.04, abs=0.25)


async def test_speed_and_openai_names(speak):
    plugin = speak(response_format="pcm", speed=2.0)
    plugin.update_options(model="tts-1", voice="alloy")
    async with plugin.synthesize(TEXT) as stream:
        samples = joined([audio.frame async for audio in stream])
    assert heard(samples, symbol=0.02) == TEXT
    assert tone.pitch_of(samples, 24_000) == tone.PITCHES["mid"]


async def test_a_stream_of_text_through_its_adapter(speak):
    adapter = tts.StreamAdapter(
        tts=speak(response_format="pcm"), sentence_tokenizer=basic.SentenceTokenizer(min_sentence_len=5)
    )
    async with adapter.stream() as stream:
        for piece in ("The first sen", "tence is this. And the sec", "ond one is that."):
            stream.push_text(piece)
        stream.end_input()
        samples = joined([audio.frame async for audio in stream])
    spoken = "The first sentence is this. And the second one is that."
    assert len(samples) / 24_000 >= len(spoken) * 0.04
    assert tone.decode(samples[: round(24_000 * (2 + 27) * 0.04)], 24_000) == "The first sentence is this."


async def test_an_error_is_one_that_agents_understand(speak):
    from livekit.agents import APIConnectOptions

    plugin = speak(response_format="pcm")
    plugin.update_options(voice="nobody")
    with pytest.raises(APIStatusError) as caught:
        async with plugin.synthesize(TEXT, conn_options=APIConnectOptions(max_retry=0)) as stream:
            async for _ in stream:
                pass
    assert caught.value.status_code == 404
    assert caught.value.body["code"] == "voice_not_found"
    assert not caught.value.retryable


async def test_an_interrupted_agent_stops_the_model(speak, reports):
    stream = speak(response_format="pcm").synthesize("an hour of this. " * 5000)
    assert await anext(aiter(stream))
    await stream.aclose()
    report = await asyncio.to_thread(reports.ended.get, timeout=30)
    assert report.outcome == "cancelled"
