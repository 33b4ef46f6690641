"""Fish Audio's own Python SDK against a hub: its old client and its new one, HTTP and websocket."""

import io
import wave

import numpy as np
import pytest

pytest.importorskip("fishaudio")

import fish_audio_sdk
import fishaudio
from fish_audio_sdk import AsyncWebSocketSession, HttpCodeErr, Session, TTSRequest, WebSocketSession
from fishaudio import AsyncFishAudio, FishAudio
from fishaudio.exceptions import NotFoundError, WebSocketError
from fishaudio.types import FlushEvent, ReferenceAudio, TTSConfig

TEXT = "Hello there."
PIECES = ["Hello ", "there. ", "And so on."]


@pytest.fixture
def old(fish_hub):
    with Session("any key", base_url=fish_hub.url) as session:
        yield session


@pytest.fixture
def new(fish_hub):
    with FishAudio(api_key="any key", base_url=fish_hub.url) as client:
        yield client


@pytest.fixture
def config():
    return TTSConfig(format="pcm", max_new_tokens=6)


@pytest.fixture
def voice(new, recording):
    made = new.voices.create(title="Ann", voices=[recording], texts=["what Ann says"], tags=["calm"])
    yield made
    new.voices.delete(made.id)


def heard(pcm):
    """Seconds of 16-bit samples at the model's rate; they must not be silent."""
    samples = np.frombuffer(pcm, "<i2")
    assert np.abs(samples).max() > 100
    return len(samples) / 44_100


def test_old_client_speaks_mp3_while_it_comes(old):
    assert b"".join(old.tts(TTSRequest(text=TEXT)))[:2] == b"\xff\xfb"


def test_old_client_sends_recordings(old, recording):
    reference = fish_audio_sdk.ReferenceAudio(audio=recording, text="what Ann says")
    audio = b"".join(old.tts(TTSRequest(text=TEXT, references=[reference], format="wav"), backend="s1"))
    assert audio[:4] == b"RIFF"
    assert heard(audio[44:]) > 0.05


@pytest.mark.anyio
async def test_old_client_async(fish_hub):
    async with Session("any key", base_url=fish_hub.url) as session:
        parts = [part async for part in session.tts.awaitable(TTSRequest(text=TEXT, format="pcm"))]
    assert heard(b"".join(parts)) > 0.05


def test_old_client_reads_an_error(old):
    with pytest.raises(HttpCodeErr) as raised:
        b"".join(old.tts(TTSRequest(text=TEXT, reference_id="nobody")))
    assert raised.value.status == 404


def test_old_client_keeps_voices(old, recording):
    made = old.create_model(title="Ben", voices=[recording], texts=["what Ben says"])
    assert old.get_model(made.id).samples[0].text == "what Ben says"
    assert made.id in [item.id for item in old.list_models().items]
    old.update_model(made.id, title="Benjamin")
    assert old.get_model(made.id).title == "Benjamin"
    assert heard(b"".join(old.tts(TTSRequest(text=TEXT, reference_id=made.id, format="pcm")))) > 0.05
    old.delete_model(made.id)
    with pytest.raises(HttpCodeErr, match="404"):
        old.get_model(made.id)


def test_old_client_websocket(fish_hub):
    with WebSocketSession("any key", base_url=fish_hub.url) as session:
        assert heard(b"".join(session.tts(TTSRequest(text="", format="pcm"), iter(PIECES[:2])))) > 0.05


@pytest.mark.anyio
async def test_old_client_websocket_async(fish_hub):
    async def pieces():
        for piece in PIECES[:2]:
            yield piece

    async with AsyncWebSocketSession("any key", base_url=fish_hub.url) as session:
        parts = [part async for part in session.tts(TTSRequest(text="", format="pcm"), pieces())]
    assert heard(b"".join(parts)) > 0.05


def test_new_client_converts(new, config, voice):
    audio = new.tts.convert(text=TEXT, format="wav", config=config)
    with wave.open(io.BytesIO(audio)) as file:
        assert file.getframerate() == 44_100
    assert heard(new.tts.convert(text=TEXT, reference_id=voice.id, config=config)) > 0.05


def test_new_client_streams(new, config, recording):
    references = [ReferenceAudio(audio=recording, text="what Ann says")]
    assert heard(b"".join(new.tts.stream(text=TEXT, references=references, config=config, model="s1"))) > 0.05


def test_new_client_changes_voices(new, voice):
    assert [one.id for one in new.voices.list(tags=["calm"], title="Ann").items] == [voice.id]
    new.voices.update(voice.id, title="Anna", description="calm and clear")
    assert (new.voices.get(voice.id).title, new.voices.get(voice.id).tags) == ("Anna", ["calm"])
    with pytest.raises(NotFoundError, match="nobody"):
        new.voices.get("nobody")


def test_new_client_reads_an_error(new, config):
    with pytest.raises(NotFoundError, match="nobody"):
        new.tts.convert(text=TEXT, reference_id="nobody", config=config)
    with pytest.raises(fishaudio.exceptions.APIError) as raised:
        new.tts.convert(text=TEXT, speed=2.0, config=config)
    assert raised.value.status == 400
    assert "speed" in raised.value.message


def test_new_client_websocket(new, config, voice):
    pieces = [PIECES[0], FlushEvent(), *PIECES[1:]]
    audio = b"".join(new.tts.stream_websocket(iter(pieces), reference_id=voice.id, config=config))
    assert heard(audio) > 0.1
    with pytest.raises(WebSocketError):
        list(new.tts.stream_websocket(iter(PIECES), reference_id="nobody", config=config))


@pytest.mark.anyio
async def test_new_client_async(fish_hub, config):
    async def pieces():
        for piece in PIECES:
            yield piece

    async with AsyncFishAudio(api_key="any key", base_url=fish_hub.url) as client:
        assert heard(await client.tts.convert(text=TEXT, config=config)) > 0.05
        parts = [part async for part in client.tts.stream_websocket(pieces(), config=config)]
    assert heard(b"".join(parts)) > 0.1
