"""Pipecat's OpenAI text-to-speech service against the hub, in a pipeline of its own."""

import numpy as np
import openai
import pytest

from hub.testing import tone

pytest.importorskip("pipecat.services.openai.tts")

from pipecat.frames.frames import (
    ErrorFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.pipeline.worker import PipelineParams
from pipecat.services.openai.tts import OpenAITTSService
from pipecat.tests.utils import run_test

pytestmark = pytest.mark.anyio

TEXT = "what the bot has to say"


@pytest.fixture
async def service(tones):
    """service(**settings): the service at the hub."""
    async with openai.DefaultAsyncHttpxClient() as http:

        def make(**settings):
            chosen = OpenAITTSService.Settings(**{"model": "tone", "voice": "alloy", **settings})
            return OpenAITTSService(base_url=f"{tones.url}/v1", api_key="none", http_client=http, settings=chosen)

        yield make


async def pipeline_frames(tts, *frames):
    """All frames from a pipeline with only this service, run to its end."""
    down, up = await run_test(
        tts, frames_to_send=frames, pipeline_params=PipelineParams(audio_out_sample_rate=24_000), start_timeout=30
    )
    return [*down, *up]


def joined(frames):
    audio = [frame for frame in frames if isinstance(frame, TTSAudioRawFrame)]
    assert {(frame.sample_rate, frame.num_channels) for frame in audio} == {(24_000, 1)}
    return np.frombuffer(b"".join(frame.audio for frame in audio), "<i2") / 32768


def heard(samples, symbol=0.04):
    """The text played in the time that it takes; Pipecat ends a bot's turn with silence."""
    return tone.decode(samples[: round(24_000 * (2 * 0.04 + len(TEXT) * symbol))], 24_000)


async def test_in_a_pipeline(service):
    frames = await pipeline_frames(service(), TTSSpeakFrame(TEXT))
    kinds = [type(frame) for frame in frames]
    assert kinds.index(TTSStartedFrame) < kinds.index(TTSAudioRawFrame) < kinds.index(TTSStoppedFrame)
    samples = joined(frames)
    assert heard(samples) == TEXT
    assert tone.pitch_of(samples[:24_000], 24_000) == tone.PITCHES["mid"]


async def test_speed(service):
    assert heard(joined(await pipeline_frames(service(speed=2.0), TTSSpeakFrame(TEXT))), 0.02) == TEXT


async def test_an_error_becomes_a_frame(service):
    frames = await pipeline_frames(service(instructions="whisper"), TTSSpeakFrame(TEXT))
    errors = [frame.error for frame in frames if isinstance(frame, ErrorFrame)]
    assert "model 'tone' has no instruct" in errors[0]
    assert not any(isinstance(frame, TTSAudioRawFrame) for frame in frames)
