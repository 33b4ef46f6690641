import io
import json
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import openai
import pytest
import soundfile

from hub.builtin.openai.names import MODEL_ALIAS, VOICE_ALIASES
from hub.contract import BackendSpec, Capabilities, Voice
from hub.plugin.spec import hookimpl
from hub.settings import ApiKey, AuthSettings, ModelSettings
from hub.testing import tone
from tests.support import ROOT

TEXT = "twenty-five letters, so a second"
SECONDS = (2 + len(TEXT)) * tone.SYMBOL / tone.SAMPLE_RATE


@pytest.fixture
def sdk(live):
    with client(live) as found:
        yield found


def client(live, **keywords):
    return openai.OpenAI(base_url=f"{live.url}/v1", **{"api_key": "not asked for", "max_retries": 0, **keywords})


def decode(body):
    with av.open(io.BytesIO(body)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        return np.concatenate(frames, axis=1)[0], container.streams.audio[0].rate


def spoken(body):
    samples, rate = soundfile.read(io.BytesIO(body), dtype="float32")
    return tone.decode(samples, rate), tone.pitch_of(samples, rate)


def test_plain(sdk):
    answer = sdk.audio.speech.create(model="tone", voice="low", input=TEXT, response_format="wav")
    assert answer.response.headers["content-type"] == "audio/wav"
    assert spoken(answer.content) == (TEXT, tone.PITCHES["low"])


def test_streaming(sdk):
    endless = {"options": {"seconds": 3600.0, "paced": True}}
    with sdk.audio.speech.with_streaming_response.create(
        model="tone", voice="low", input=TEXT, response_format="pcm", extra_body=endless
    ) as answer:
        assert len(next(answer.iter_bytes(4800))) == 4800


async def test_async_streaming_to_a_file(live, tmp_path, anyio_backend):
    async with (
        openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key="none") as sdk,
        sdk.audio.speech.with_streaming_response.create(
            model="tone", voice="high", input=TEXT, response_format="flac"
        ) as answer,
    ):
        await answer.stream_to_file(tmp_path / "out.flac")
    samples, rate = decode((tmp_path / "out.flac").read_bytes())
    assert tone.decode(samples / 32768, rate) == TEXT


@pytest.mark.parametrize(
    ("container", "media_type"),
    [
        ("mp3", "audio/mpeg"),
        ("opus", "audio/ogg"),
        ("aac", "audio/aac"),
        ("flac", "audio/flac"),
        ("wav", "audio/wav"),
    ],
)
def test_every_format(sdk, container, media_type):
    answer = sdk.audio.speech.create(model="tone", voice="low", input=TEXT, response_format=container)
    assert answer.response.headers["content-type"].partition(";")[0] == media_type
    samples, rate = decode(answer.content)
    assert len(samples) / rate == pytest.approx(SECONDS, abs=0.1)


def test_mp3_is_the_default(sdk):
    answer = sdk.audio.speech.create(model="tone", voice="low", input=TEXT)
    assert answer.response.headers["content-type"] == "audio/mpeg"


class Slow(tone.Tone):
    """A tone whose samples are declared as 16 kHz, so that they are right at 24 kHz only if resampled."""

    capabilities = Capabilities(sample_rate=16_000, preset_voices=True, streaming=True)

    def speak(self, request, stop):
        from hub.contract import AudioChunk

        for event in super().speak(request, stop):
            yield AudioChunk(pcm=event.pcm, sample_rate=16_000)


class slow_plugin:  # noqa: N801
    @staticmethod
    @hookimpl
    def register_backends(settings):
        return [BackendSpec(name="slow", contract=1, synthesizer=f"{__name__}:Slow", capabilities=Slow.capabilities)]


def test_pcm_is_24_khz_whatever_the_model_has(served):
    live = served(slow_plugin, models={"slow": ModelSettings(backend="slow", env={"PYTHONPATH": str(ROOT)})})
    with client(live) as sdk:
        answer = sdk.audio.speech.create(model="slow", voice="low", input=TEXT, response_format="pcm")
    assert answer.response.headers["x-sample-rate"] == "24000"
    assert len(answer.content) / 2 / 24_000 == pytest.approx(SECONDS * 24 / 16, abs=0.01)


def test_events(sdk):
    with sdk.audio.speech.with_streaming_response.create(
        model="tone", voice="low", input=TEXT, response_format="wav", stream_format="sse"
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = [json.loads(line.removeprefix("data: ")) for line in answer.iter_lines() if line]
    *deltas, done = found
    assert {event["type"] for event in deltas} == {"speech.audio.delta"}
    assert len(deltas) > 5
    assert spoken(b"".join(b64decode(event["audio"]) for event in deltas))[0] == TEXT
    tokens = round(SECONDS / 0.05 + 0.5)
    assert done == {
        "type": "speech.audio.done",
        "usage": {"input_tokens": len(TEXT), "output_tokens": tokens, "total_tokens": len(TEXT) + tokens},
    }


def test_events_that_break_off_end_with_an_error_event(live):
    body = {"model": "tone", "input": TEXT, "voice": "low", "stream_format": "sse", "options": {"fail_at": 3}}
    lines = []
    with live.client.stream("POST", "/v1/audio/speech", json=body) as answer:
        lines.extend(_until_cut(answer))
    assert lines[-2] == "event: error"
    error = json.loads(lines[-1].removeprefix("data: "))["error"]
    assert (error["type"], error["code"]) == ("server_error", "backend_failed")


def _until_cut(answer):
    import httpx

    try:
        yield from (line for line in answer.iter_lines() if line)
    except httpx.RemoteProtocolError:
        return
    pytest.fail("the connection was not cut")


@pytest.mark.parametrize("voice", ["high", {"id": "high"}])
def test_voice_as_a_name_or_an_object(sdk, voice):
    answer = sdk.audio.speech.create(model="tone", voice=voice, input=TEXT, response_format="wav")
    assert spoken(answer.content) == (TEXT, tone.PITCHES["high"])
    assert answer.response.headers["x-voice"] == "high"


@pytest.mark.parametrize("voice", sorted(VOICE_ALIASES))
def test_openai_voices_are_the_default_voice(live, voice):
    body = {"model": "tone", "input": "a text", "voice": voice, "response_format": "wav"}
    assert live.client.post("/v1/audio/speech", json=body).headers["x-voice"] == "mid"


class Echo(tone.Tone):
    """A tone with a voice that has a name of OpenAI."""

    def voices(self):
        return [*super().voices(), Voice(id="echo")]

    def speak(self, request, stop):
        from msgspec.structs import replace

        return super().speak(replace(request, voice="low") if request.voice == "echo" else request, stop)


class echo_plugin:  # noqa: N801
    @staticmethod
    @hookimpl
    def register_backends(settings):
        return [BackendSpec(name="echo", contract=1, synthesizer=f"{__name__}:Echo", capabilities=Echo.capabilities)]


def test_a_model_or_voice_with_a_name_of_openai_is_used(served):
    there = {"PYTHONPATH": str(ROOT)}
    live = served(
        echo_plugin, models={"tone": ModelSettings(backend="tone"), "tts-1": ModelSettings(backend="echo", env=there)}
    )
    with client(live) as sdk:
        mine = sdk.audio.speech.create(model="tts-1", voice="echo", input=TEXT, response_format="wav")
        other = sdk.audio.speech.create(model="tts-1-hd", voice="echo", input=TEXT, response_format="wav")
    assert (mine.response.headers["x-model"], mine.response.headers["x-voice"]) == ("tts-1", "echo")
    assert (other.response.headers["x-model"], other.response.headers["x-voice"]) == ("tone", "mid")


@pytest.mark.parametrize("model", ["tts-1", "tts-1-hd", "gpt-4o-mini-tts", "gpt-4o-mini-tts-2025-12-15", "tts-1-1106"])
def test_openai_models_are_the_default_model(sdk, model):
    answer = sdk.audio.speech.create(model=model, voice="alloy", input="a text", response_format="wav")
    assert answer.response.headers["x-model"] == "tone"


@pytest.mark.parametrize("model", ["tts-2", "tts-1-turbo", "my-tts-1", "gpt-4o"])
def test_no_other_name_is_the_default_model(model):
    assert not MODEL_ALIAS(model)


def test_speed_and_extensions(sdk):
    fast = sdk.audio.speech.create(
        model="tone",
        voice="low",
        input=TEXT,
        response_format="pcm",
        speed=2.0,
        extra_body={"sample_rate": 16000, "seed": 1},
    )
    assert fast.response.headers["x-sample-rate"] == "16000"
    assert len(fast.content) / 2 / 16_000 == pytest.approx(0.08 + len(TEXT) * 0.02, abs=0.01)


def test_unknown_model(sdk):
    with pytest.raises(openai.NotFoundError) as caught:
        sdk.audio.speech.create(model="nobody", voice="alloy", input="a text")
    assert (caught.value.code, caught.value.param, caught.value.type) == (
        "model_not_found",
        "model",
        "invalid_request_error",
    )


def test_unknown_voice(sdk):
    with pytest.raises(openai.NotFoundError) as caught:
        sdk.audio.speech.create(model="tone", voice="nobody", input="a text")
    assert (caught.value.code, caught.value.param) == ("voice_not_found", "voice")


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input": ""}, "empty_text", "input"),
        ({"input": "...!"}, "unspeakable_text", "input"),
        ({"input": 5}, "invalid_request", "input"),
        ({"speed": 5.0}, "invalid_request", "speed"),
        ({"response_format": "midi"}, "invalid_request", "response_format"),
        ({"stream_format": "smell"}, "invalid_request", "stream_format"),
        ({"instructions": "whisper"}, "unsupported_capability", "instructions"),
        ({"voice": {"name": "high"}}, "unknown_parameter", "voice.name"),
        ({"model": ""}, "invalid_request", "model"),
        ({"extra_body": {"volume": 3}}, "unknown_parameter", "volume"),
        ({"extra_body": {"sample_rate": 12345}}, "invalid_request", "sample_rate"),
        ({"extra_body": {"bitrate": 9}}, "invalid_request", "bitrate"),
    ],
)
def test_invalid_requests_are_refused(sdk, fields, code, param):
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.audio.speech.create(**{"model": "tone", "voice": "low", "input": "a text", **fields})
    error = caught.value
    assert (error.code, error.param, error.type) == (code, param, "invalid_request_error")
    assert set(error.body) == {"message", "type", "param", "code"}


def test_an_unknown_argument_is_reported_as_openai_reports_it(sdk):
    with pytest.raises(openai.BadRequestError, match="Unrecognized request argument supplied: volume"):
        sdk.audio.speech.create(model="tone", voice="low", input="a text", extra_body={"volume": 3})


def test_a_missing_argument(live):
    answer = live.client.post("/v1/audio/speech", json={"model": "tone", "input": "a text"})
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": "Missing required parameter: 'voice'.",
        "type": "invalid_request_error",
        "param": "voice",
        "code": "missing_required_parameter",
    }


def test_empty_instructions_are_none(sdk):
    assert sdk.audio.speech.create(model="tone", voice="low", input="a text", instructions="").content


def test_a_failing_backend(sdk):
    with pytest.raises(openai.InternalServerError) as caught:
        sdk.audio.speech.create(model="tone", voice="low", input="a text", extra_body={"options": {"fail_at": 0}})
    assert caught.value.type == "server_error"


def test_wrong_methods_and_paths_have_openais_shape(live):
    for answer in (
        live.client.get("/v1/audio/speech"),
        live.client.post("/v1/audio/talk"),
        live.client.put("/v1/models"),
    ):
        assert answer.status_code in (404, 405)
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_models(sdk):
    models = list(sdk.models.list())
    assert [(model.id, model.object, model.owned_by) for model in models] == [("tone", "model", "tone")]
    assert models[0].created > 1_700_000_000
    assert models[0].capabilities["speed"] is True
    assert sdk.models.retrieve("tone").id == "tone"
    with pytest.raises(openai.NotFoundError):
        sdk.models.retrieve("nobody")


def test_keys_and_limits(served):
    key = ApiKey(name="limited", key="secret-secret", requests_per_minute=2)
    live = served(auth=AuthSettings(keys=(key,)))
    with client(live, api_key="wrong") as sdk, pytest.raises(openai.AuthenticationError) as caught:
        sdk.models.list()
    assert caught.value.code == "invalid_api_key"
    with client(live, api_key="secret-secret") as sdk:
        sdk.models.list()
        sdk.audio.speech.create(model="tone", voice="low", input="a text")
        with pytest.raises(openai.RateLimitError) as limited:
            sdk.models.list()
    assert limited.value.code == "rate_limit_exceeded"
    assert 1 <= int(limited.value.response.headers["retry-after"]) <= 30


def test_the_sdk_heeds_retry_after(served):
    live = served(models={"tone": ModelSettings(backend="tone", queue=0, options={"concurrency": 1})})
    endless = {"text": "endless", "stream": True, "options": {"seconds": 3600.0, "paced": True}}
    with client(live, max_retries=1) as sdk, ThreadPoolExecutor() as pool:
        with live.client.stream("POST", "/v1/speech", json=endless):
            waiting = pool.submit(sdk.audio.speech.with_raw_response.create, model="tone", voice="low", input="a text")
            assert live.reports.ended.get(timeout=30).outcome == "queue_full"
        assert waiting.result().retries_taken == 1
