"""LiveKit Agents' Fish Audio plugin against a hub."""

import aiohttp
import numpy as np
import pytest

pytest.importorskip("livekit.plugins.fishaudio")

from livekit.agents import APIStatusError
from livekit.agents.types import NOT_GIVEN
from livekit.plugins import fishaudio

pytestmark = pytest.mark.anyio

TEXT = "Hello there, friend. This is all."


@pytest.fixture
async def speaking(fish_hub):
    """speaking(**options): the plugin at the hub; all are closed after the test."""
    made = []
    async with aiohttp.ClientSession() as session:

        def make(**options):
            usual = {"voice_id": NOT_GIVEN, "output_format": "pcm", "sample_rate": 24_000, "max_new_tokens": 8}
            made.append(
                fishaudio.TTS(base_url=fish_hub.url, api_key="none", http_session=session, **{**usual, **options})
            )
            return made[-1]

        yield make
        for one in made:
            await one.aclose()


def heard(frames):
    """Return the seconds that were played, which must not be silent."""
    assert {(frame.sample_rate, frame.num_channels) for frame in frames} == {(24_000, 1)}
    samples = np.concatenate([np.frombuffer(frame.data, "<i2") for frame in frames])
    assert np.abs(samples).max() > 100
    return len(samples) / 24_000


@pytest.mark.parametrize("output_format", ["pcm", "wav"])
async def test_synthesize(speaking, output_format):
    async with speaking(output_format=output_format).synthesize(TEXT) as stream:
        assert heard([audio.frame async for audio in stream]) > 0.05


async def test_text_that_arrives_sentence_by_sentence(speaking):
    tts = speaking()
    for _ in range(2):  # the second on the same socket
        async with tts.stream() as stream:
            for piece in ("Hello there, ", "friend. This ", "is all."):
                stream.push_text(piece)
            stream.end_input()
            assert heard([audio.frame async for audio in stream]) > 0.1


async def test_a_voice_that_is_not_there(speaking):
    with pytest.raises(APIStatusError) as raised:
        async with speaking(voice_id="nobody").synthesize(TEXT) as stream:
            [audio async for audio in stream]
    assert raised.value.status_code == 404
