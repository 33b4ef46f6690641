"""The `elevenlabs` package against the hub's ElevenLabs routes."""

import base64
import contextlib
import io

import av
import httpx
import numpy as np
import pytest
import soundfile

from hub.settings import ApiKey, AuthSettings, ModelSettings, PluginSettings, Settings
from hub.testing import tone
from hub.testing.fixtures import serve_hub

elevenlabs = pytest.importorskip("elevenlabs")

from elevenlabs.client import AsyncElevenLabs, ElevenLabs  # noqa: E402
from elevenlabs.core.api_error import ApiError  # noqa: E402

TEXT = "who says this, and when"
MP3_DELAY = 0.15


@contextlib.contextmanager
def connected(base_url, api_key="not asked for"):
    """A client that leaves no socket open, unlike ElevenLabs' own HTTP client."""
    with httpx.Client(timeout=60) as http:
        yield ElevenLabs(base_url=base_url, api_key=api_key, httpx_client=http)


@pytest.fixture(scope="module")
def client(tones):
    with connected(f"{tones.url}/compat/elevenlabs") as found:
        yield found


def decoded(body):
    with av.open(io.BytesIO(body)) as container:
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
        return np.concatenate(frames), container.streams.audio[0].rate


def understood(body, rate):
    samples = np.frombuffer(body, "<i2") / 32768
    return tone.decode(samples, rate), tone.pitch_of(samples, rate)


def test_convert(client):
    body = b"".join(client.text_to_speech.convert("low", text=TEXT, output_format="pcm_24000"))
    assert understood(body, 24_000) == (TEXT, tone.PITCHES["low"])


def test_the_usual_call_with_all_that_clients_send(client):
    body = b"".join(
        client.text_to_speech.convert(
            voice_id="high",
            text=TEXT,
            model_id="eleven_multilingual_v2",
            output_format="mp3_44100_128",
            optimize_streaming_latency=3,
            enable_logging=False,
            voice_settings=elevenlabs.VoiceSettings(
                stability=0.5, similarity_boost=0.75, style=0.0, use_speaker_boost=True, speed=1.0
            ),
            previous_text="before",
            next_text="after",
            seed=4,
            apply_text_normalization="auto",
        )
    )
    samples, rate = decoded(body)
    assert rate == 44_100
    assert len(samples) / rate == pytest.approx((2 + len(TEXT)) * tone.SYMBOL / tone.SAMPLE_RATE, abs=MP3_DELAY)


def test_speed(client):
    settings = elevenlabs.VoiceSettings(speed=0.5)
    body = b"".join(client.text_to_speech.convert("low", text=TEXT, output_format="pcm_16000", voice_settings=settings))
    assert understood(body, 16_000)[0] == TEXT
    assert len(body) / 2 / 16_000 == pytest.approx(0.08 + len(TEXT) * 0.08, abs=0.01)


@pytest.mark.parametrize(
    ("output_format", "rate", "kind"),
    [
        ("mp3_22050_32", 22_050, "mp3float"),
        ("mp3_44100_192", 44_100, "mp3float"),
        ("opus_48000_32", 48_000, "opus"),
        ("wav_8000", 8_000, "pcm_s16le"),
        ("wav_48000", 48_000, "pcm_s16le"),
    ],
)
def test_formats(client, output_format, rate, kind):
    body = b"".join(client.text_to_speech.convert("low", text=TEXT, output_format=output_format))
    with av.open(io.BytesIO(body)) as container:
        assert (container.streams.audio[0].codec_context.name, container.streams.audio[0].rate) == (kind, rate)


@pytest.mark.parametrize(("law", "subtype"), [("ulaw", "ULAW"), ("alaw", "ALAW")])
def test_telephone_formats(client, law, subtype):
    body = b"".join(client.text_to_speech.convert("low", text=TEXT, output_format=f"{law}_8000"))
    samples, _ = soundfile.read(io.BytesIO(body), samplerate=8000, channels=1, format="RAW", subtype=subtype)
    assert tone.decode(samples, 8000) == TEXT


def test_stream(client):
    parts = list(client.text_to_speech.stream("mid", text=TEXT * 4, output_format="pcm_24000"))
    assert len(parts) > 3
    assert understood(b"".join(parts), 24_000)[0] == TEXT * 4


@pytest.mark.anyio
async def test_a_listener_who_leaves_stops_the_model(tones, reports):
    """With the asynchronous client; the whole text would take an hour."""
    async with httpx.AsyncClient(timeout=60) as http:
        client = AsyncElevenLabs(base_url=f"{tones.url}/compat/elevenlabs", api_key="none", httpx_client=http)
        stream = client.text_to_speech.stream("mid", text="an hour of this. " * 5000, output_format="pcm_24000")
        assert await anext(stream)
        await stream.aclose()
    assert reports.ended.get(timeout=30).outcome == "cancelled"


def checked(characters, starts, ends, seconds):
    """The text, if its times begin at 0, never go back and end with the audio."""
    moments = [moment for both in zip(starts, ends, strict=True) for moment in both]
    assert moments == sorted(moments)
    assert moments[0] == 0
    assert moments[-1] == pytest.approx(seconds, abs=0.001)
    return "".join(characters)


def test_convert_with_timestamps(client):
    answer = client.text_to_speech.convert_with_timestamps("low", text=TEXT, output_format="pcm_24000")
    body = base64.b64decode(answer.audio_base_64)
    found = answer.alignment
    starts, ends = found.character_start_times_seconds, found.character_end_times_seconds
    assert checked(found.characters, starts, ends, len(body) / 2 / 24_000) == TEXT
    assert understood(body, 24_000)[0] == TEXT
    at = TEXT.index("and")
    assert starts[at] == pytest.approx(0.08 + at * 0.04, abs=0.04)  # where the tone plays it


def test_stream_with_timestamps(client):
    answers = list(client.text_to_speech.stream_with_timestamps("low", text=TEXT, output_format="pcm_24000"))
    assert len(answers) > 3
    body = b"".join(base64.b64decode(answer.audio_base_64) for answer in answers)
    aligned = [answer.alignment for answer in answers if answer.alignment is not None]
    columns = [
        [value for one in aligned for value in getattr(one, name)]
        for name in ("characters", "character_start_times_seconds", "character_end_times_seconds")
    ]
    assert checked(*columns, len(body) / 2 / 24_000) == TEXT
    heard = 0.0
    for answer in answers:  # no character is reported before it can be heard
        heard += len(base64.b64decode(answer.audio_base_64)) / 2 / 24_000
        if answer.alignment is not None:
            assert answer.alignment.character_end_times_seconds[-1] <= heard + 0.001


def test_voices(client):
    voices = client.voices.get_all().voices
    assert [(voice.voice_id, voice.name, voice.category) for voice in voices] == [
        ("low", "Low", "premade"),
        ("mid", "Mid", "premade"),
        ("high", "High", "premade"),
    ]
    assert voices[0].high_quality_base_model_ids == ["tone"]
    assert client.voices.get("mid").name == "Mid"
    first = client.voices.search(page_size=2)
    assert (len(first.voices), first.has_more, first.total_count) == (2, True, 3)
    rest = client.voices.search(page_size=2, next_page_token=first.next_page_token)
    assert ([voice.voice_id for voice in rest.voices], rest.has_more) == (["high"], False)
    assert [voice.voice_id for voice in client.voices.search(search="220 hz").voices] == ["high"]


def test_models(client):
    (model,) = client.models.list()
    assert (model.model_id, model.can_do_text_to_speech) == ("tone", True)
    assert model.maximum_text_length_per_request == 100_000


@pytest.mark.parametrize(
    ("arguments", "status", "code", "param"),
    [
        ({"voice_id": "nobody"}, 404, "voice_not_found", "voice_id"),
        ({"model_id": "tune"}, 404, "model_not_found", "model_id"),
        ({"model_id": "tone", "voice_id": "nobody"}, 404, "voice_not_found", "voice_id"),
        ({"text": ""}, 400, "empty_text", "text"),
        ({"text": "?!"}, 400, "unspeakable_text", "text"),
        ({"text": "long " * 30_000}, 413, "text_too_long", None),
        ({"output_format": "mp3_1_1"}, 400, "invalid_request", "output_format"),
        ({"voice_settings": elevenlabs.VoiceSettings(speed=9.0)}, 400, "invalid_request", "voice_settings.speed"),
        ({"voice_settings": elevenlabs.VoiceSettings(stability=2.0)}, 400, "invalid_request", None),
        ({"apply_text_normalization": "off"}, 400, "unsupported_capability", "apply_text_normalization"),
        (
            {
                "pronunciation_dictionary_locators": [
                    elevenlabs.PronunciationDictionaryVersionLocator(pronunciation_dictionary_id="a", version_id="b")
                ]
            },
            400,
            "unsupported_capability",
            "pronunciation_dictionary_locators[0].version_id",
        ),
        (
            {
                "pronunciation_dictionary_locators": [
                    elevenlabs.PronunciationDictionaryVersionLocator(pronunciation_dictionary_id="nothing")
                ]
            },
            404,
            "not_found",
            None,
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["convert", "convert_with_timestamps", "stream_with_timestamps"])
def test_unsupported_requests_are_refused(client, method, arguments, status, code, param):
    with pytest.raises(ApiError) as caught:
        list(getattr(client.text_to_speech, method)(**{"voice_id": "low", "text": "hello", **arguments}))
    detail = caught.value.body["detail"]
    assert (caught.value.status_code, detail["code"], detail["status"]) == (status, code, code)
    assert detail["message"]
    if param:
        assert detail["param"] == param


def test_a_dictionary_changes_the_words_and_not_the_characters(client, tones):
    tones.client.put("/v1/dictionaries/terms", json={"entries": {"hub": "hubbub"}}).raise_for_status()
    try:
        answer = client.text_to_speech.convert_with_timestamps(
            "low",
            text="the hub is here",
            output_format="pcm_24000",
            pronunciation_dictionary_locators=[
                elevenlabs.PronunciationDictionaryVersionLocator(pronunciation_dictionary_id="terms")
            ],
        )
    finally:
        tones.client.delete("/v1/dictionaries/terms").raise_for_status()
    assert understood(base64.b64decode(answer.audio_base_64), 24_000)[0] == "the hubbub is here"
    assert "".join(answer.alignment.characters) == "the hub is here"


def test_a_stored_voice_is_listed_and_speaks(client, tones):
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(np.arange(24_000) / 20), 24_000, format="WAV")
    made = tones.client.post(
        "/v1/voices", data={"id": "ada", "name": "Ada", "language": "en"}, files={"audio": file.getvalue()}
    )
    assert made.status_code == 201, made.text
    try:
        (voice,) = [voice for voice in client.voices.get_all().voices if voice.category == "cloned"]
        assert (voice.voice_id, voice.name, voice.labels) == ("ada", "Ada", {"language": "en"})
        text, pitch = understood(
            b"".join(client.text_to_speech.convert("ada", text=TEXT, output_format="pcm_24000")), 24_000
        )
    finally:
        tones.client.delete("/v1/voices/ada").raise_for_status()
    assert text == TEXT
    assert pitch in tone.CLONED_PITCHES


def test_an_unknown_voice_is_not_found(client):
    with pytest.raises(ApiError) as caught:
        client.voices.get("nobody")
    assert caught.value.body["detail"]["code"] == "voice_not_found"


def test_the_speech_routes_are_also_at_their_own_paths(tones):
    with connected(tones.url) as client:
        body = b"".join(client.text_to_speech.convert("low", text=TEXT, output_format="pcm_24000"))
    assert understood(body, 24_000)[0] == TEXT


def test_the_key_is_in_elevenlabs_header():
    settings = Settings(
        models={"tone": ModelSettings(backend="tone")},
        plugins=PluginSettings(disabled=("hibari",)),
        auth=AuthSettings(keys=(ApiKey(name="one", key="a-key-for-tests"),)),
    )
    with serve_hub(settings, [tone], ready=False) as live:
        base = f"{live.url}/compat/elevenlabs"
        with connected(base, "a-key-for-tests") as client:
            assert client.models.list()
        with connected(base, "another") as client, pytest.raises(ApiError) as caught:
            client.models.list()
    assert caught.value.status_code == 401
    assert caught.value.body["detail"]["code"] == "invalid_api_key"
