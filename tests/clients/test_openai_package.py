"""The `openai` package against the hub as it is installed, with a real voice."""

import io
import json
from base64 import b64decode

import av
import openai
import pytest
import soundfile

from hub.testing import tone
from hub.testing.fixtures import live_hub  # noqa: F401 - a fixture

TEXT = "read back to the letter"


@pytest.fixture
def hibari(live_hub):  # noqa: F811
    with openai.OpenAI(base_url=f"{live_hub.url}/v1", api_key="none", max_retries=0) as found:
        yield found


@pytest.fixture
def sdk(tones):
    with openai.OpenAI(base_url=f"{tones.url}/v1", api_key="none", max_retries=0) as found:
        yield found


def understood(body):
    samples, rate = soundfile.read(io.BytesIO(body), dtype="float32")
    return tone.decode(samples, rate), tone.pitch_of(samples, rate)


@pytest.mark.parametrize("response_format", ["mp3", "opus", "flac", "wav"])
def test_a_real_voice_in_a_file(hibari, tmp_path, response_format):
    file = tmp_path / f"hello.{response_format}"
    answer = hibari.audio.speech.create(
        model="gpt-4o-mini-tts", voice="alloy", input="Hello from the hub.", response_format=response_format
    )
    answer.write_to_file(file)
    with av.open(file) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        seconds = sum(frame.shape[1] for frame in frames) / container.streams.audio[0].rate
    assert 0.8 < seconds < 3
    assert max(frame.max() for frame in frames) > 0.05


def test_a_real_voice_while_it_speaks(hibari):
    text = "The first words are here. The others follow after them."
    with hibari.audio.speech.with_streaming_response.create(
        model="tts-1", voice="alloy", input=text, response_format="pcm", stream_format="audio"
    ) as answer:
        parts = list(answer.iter_bytes(4800))
    assert 2 < sum(map(len, parts)) / 48_000 < 6


def test_whole_and_streamed_and_as_events_are_the_same_speech(sdk):
    asked = {"model": "tone", "voice": "high", "input": TEXT, "response_format": "wav"}
    create = sdk.audio.speech.with_streaming_response.create
    whole = sdk.audio.speech.create(**asked).content
    with create(**asked) as answer:
        streamed = answer.read()
    with create(**asked, stream_format="sse") as answer:
        events = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]
    told = b"".join(b64decode(event["audio"]) for event in events if event["type"] == "speech.audio.delta")
    for body in (whole, streamed, told):
        assert understood(body) == (TEXT, tone.PITCHES["high"])
    assert events[-1]["usage"]["input_tokens"] == len(TEXT)


@pytest.mark.anyio
async def test_the_asynchronous_client(tones):
    async with openai.AsyncOpenAI(base_url=f"{tones.url}/v1", api_key="none", max_retries=0) as sdk:
        answer = await sdk.audio.speech.create(model="tone", voice="low", input=TEXT, response_format="wav")
        assert understood(answer.content) == (TEXT, tone.PITCHES["low"])
        assert [model.id async for model in sdk.models.list()] == ["tone"]


def test_an_error_is_the_packages_own(sdk):
    with pytest.raises(openai.NotFoundError) as caught:
        sdk.audio.speech.create(model="tone", voice="nobody", input=TEXT)
    assert (caught.value.code, caught.value.param) == ("voice_not_found", "voice")
