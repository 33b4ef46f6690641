"""The `openai` package against the hub as it is installed, with a real voice."""

import io
import json
from base64 import b64decode

import av
import numpy as np
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
    as_events = b"".join(b64decode(event["audio"]) for event in events if event["type"] == "speech.audio.delta")
    for body in (whole, streamed, as_events):
        assert understood(body) == (TEXT, tone.PITCHES["high"])
    assert events[-1]["usage"]["input_tokens"] == len(TEXT)


@pytest.mark.anyio
async def test_the_asynchronous_client(tones):
    async with openai.AsyncOpenAI(base_url=f"{tones.url}/v1", api_key="none", max_retries=0) as sdk:
        answer = await sdk.audio.speech.create(model="tone", voice="low", input=TEXT, response_format="wav")
        assert understood(answer.content) == (TEXT, tone.PITCHES["low"])
        assert [model.id async for model in sdk.models.list()] == ["tone"]


def test_errors_are_the_packages_exceptions(sdk):
    with pytest.raises(openai.NotFoundError) as caught:
        sdk.audio.speech.create(model="tone", voice="nobody", input=TEXT)
    assert (caught.value.code, caught.value.param) == ("voice_not_found", "voice")


@pytest.fixture
def recording():
    """One second of a 200 Hz hum."""
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(2 * np.pi * 200 * np.arange(24_000) / 24_000), 24_000, format="WAV")
    return file.getvalue()


def test_a_custom_voice_is_made_spoken_with_and_deleted(sdk, tones, recording):
    consent = sdk.audio.voice_consents.create(name="Ada allows it", language="en-US", recording=recording)
    voice = sdk.audio.voices.create(name="Ada", audio_sample=recording, consent=consent.id)
    assert (voice.object, voice.type, voice.name) == ("audio.voice", "audio_sample", "Ada")
    stored = tones.client.get(f"/v1/voices/{voice.id}").json()
    assert (stored["kind"], stored["consent"]) == ("stored", f"{consent.id}: Ada allows it")

    asked = {"model": "tone", "voice": {"id": voice.id}, "input": TEXT, "response_format": "wav"}
    text, pitch = understood(sdk.audio.speech.create(**asked).content)
    assert text == TEXT
    assert pitch in tone.CLONED_PITCHES

    assert sdk.audio.voices.delete(voice.id).deleted
    for action in (lambda: sdk.audio.voices.delete(voice.id), lambda: sdk.audio.speech.create(**asked)):
        with pytest.raises(openai.NotFoundError) as caught:
            action()
        assert caught.value.code == "voice_not_found"
    assert sdk.audio.voice_consents.retrieve(consent.id).name == "Ada allows it"
    sdk.audio.voice_consents.delete(consent.id)


def test_consents_are_listed_renamed_and_deleted(sdk, recording):
    made = [
        sdk.audio.voice_consents.create(name=name, language="de", recording=recording)
        for name in ("one", "two", "three")
    ]
    assert [consent.name for consent in sdk.audio.voice_consents.list(limit=2)] == ["three", "two", "one"]  # by pages
    with pytest.raises(openai.BadRequestError):
        sdk.audio.voice_consents.list(after="cons_of_nobody")
    assert sdk.audio.voice_consents.update(made[0].id, name="first").name == "first"
    assert sdk.audio.voice_consents.retrieve(made[0].id) == made[0].model_copy(update={"name": "first"})
    for consent in made:
        assert sdk.audio.voice_consents.delete(consent.id).deleted
    assert not list(sdk.audio.voice_consents.list())
    with pytest.raises(openai.NotFoundError):
        sdk.audio.voice_consents.retrieve(made[0].id)


@pytest.mark.parametrize(
    ("fields", "kind", "param"),
    [
        ({"consent": "cons_" + "0" * 24}, openai.NotFoundError, "consent"),
        ({"consent": "../voices"}, openai.NotFoundError, "consent"),
        ({"audio_sample": b"no audio at all"}, openai.BadRequestError, None),
        ({"name": "n" * 201}, openai.BadRequestError, "name"),
    ],
    ids=str,
)
def test_invalid_voices_are_refused(sdk, recording, fields, kind, param):
    consent = sdk.audio.voice_consents.create(name="of a test", language="en", recording=recording)
    asked = {"name": "Ada", "audio_sample": recording, "consent": consent.id, **fields}
    with pytest.raises(kind) as caught:
        sdk.audio.voices.create(**asked)
    assert set(caught.value.body) == {"message", "type", "param", "code"}
    if param:
        assert caught.value.param == param
    sdk.audio.voice_consents.delete(consent.id)


def test_a_voice_from_a_prompt_is_refused(sdk):
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.audio.voices.create(name="Ada", type="prompt", prompt="a warm voice")
    assert caught.value.code == "unsupported_capability"


def test_a_consent_without_a_recording_is_refused(sdk):
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.audio.voice_consents.create(name="nothing", language="en", recording=b"")
    assert caught.value.code in ("invalid_audio", "invalid_request")
