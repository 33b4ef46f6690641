"""`ttshub wyoming`, spoken to by the protocol's own client."""

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from hub.testing import tone

wyoming = pytest.importorskip("wyoming")

from wyoming.audio import AudioChunk, AudioStart, AudioStop  # noqa: E402
from wyoming.client import AsyncTcpClient  # noqa: E402
from wyoming.error import Error  # noqa: E402
from wyoming.event import Event  # noqa: E402
from wyoming.info import Describe, Info  # noqa: E402
from wyoming.ping import Ping, Pong  # noqa: E402
from wyoming.tts import (  # noqa: E402
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

pytestmark = pytest.mark.anyio

CONFIG = '[models.tone]\nbackend = "tone"\n[models.other]\nbackend = "tone"\n'


@contextlib.contextmanager
def service(folder, *arguments):
    """`ttshub wyoming` in a process of its own, with the tone backend as an installed plugin; yields its port."""
    info = folder / "tone_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tone-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[hub.plugins]\ntone = hub.testing.tone\n")
    (folder / "hub.toml").write_text(CONFIG)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TTSHUB_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "hub", "wyoming", "--port", "0", *arguments],
        cwd=folder,
        env={**clean, "PYTHONPATH": os.pathsep.join(filter(None, (str(folder), clean.get("PYTHONPATH"))))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    try:
        yield int(re.search(r"tcp://127\.0\.0\.1:(\d+)", line)[1])
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode == 130  # only interrupted


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A service with a hub of its own."""
    with service(tmp_path_factory.mktemp("own")) as port:
        yield port


@pytest.fixture(scope="module")
def behind(tmp_path_factory, tones):
    """A service in front of a hub that runs."""
    with service(tmp_path_factory.mktemp("behind"), "--url", tones.url) as port:
        yield port


@pytest.fixture(params=["own", "behind"])
def port(request):
    return request.getfixturevalue(request.param)


async def ask(port, *events):
    """Send `events`, then everything that comes until the end of the answer."""
    async with AsyncTcpClient("127.0.0.1", port) as client:
        for event in events:
            await client.write_event(event.event())
        streamed = any(isinstance(event, SynthesizeStart) for event in events)
        found = []
        async with asyncio.timeout(60):
            while (event := await client.read_event()) is not None:
                found.append(event)
                if (SynthesizeStopped if streamed else AudioStop).is_type(event.type):
                    break
        return found


def heard(events):
    """The text and the pitch of the audio among `events`, which must be one utterance."""
    kinds = [event.type for event in events if event.type != "synthesize-stopped"]
    assert kinds == ["audio-start", *["audio-chunk"] * (len(kinds) - 2), "audio-stop"]
    start = AudioStart.from_event(events[0])
    assert (start.width, start.channels) == (2, 1)
    audio = b"".join(AudioChunk.from_event(event).audio for event in events if AudioChunk.is_type(event.type))
    return np.frombuffer(audio, "<i2") / 32768, start.rate


def understood(events):
    samples, rate = heard(events)
    return tone.decode(samples, rate), tone.pitch_of(samples, rate)


async def test_describe(port):
    async with AsyncTcpClient("127.0.0.1", port) as client:
        await client.write_event(Describe().event())
        info = Info.from_event(await client.read_event())
    (program,) = info.tts
    assert program.supports_synthesize_streaming
    assert program.installed
    names = [voice.name for voice in program.voices]
    assert names[:3] == ["low", "mid", "high"]
    assert all(voice.installed and "en" in voice.languages for voice in program.voices)
    assert program.voices[0].speakers[0].name == "low"


async def test_a_voice_of_another_model_is_named_with_its_model(own):
    events = await ask(own, Synthesize("to the other", voice=SynthesizeVoice(name="other/high")))
    assert understood(events) == ("to the other", tone.PITCHES["high"])


@pytest.mark.parametrize(
    ("voice", "pitch"),
    [
        (None, "mid"),
        (SynthesizeVoice(name="low"), "low"),
        (SynthesizeVoice(name="high", speaker="high"), "high"),
        (SynthesizeVoice(name="tone"), "mid"),
        (SynthesizeVoice(name="tone", speaker="high"), "high"),
        (SynthesizeVoice(language="en_GB"), "mid"),
    ],
    ids=str,
)
async def test_synthesize(port, voice, pitch):
    text = "what is said in this room"
    assert understood(await ask(port, Synthesize(text, voice=voice))) == (text, tone.PITCHES[pitch])


async def test_several_requests_on_one_connection(port):
    async with AsyncTcpClient("127.0.0.1", port) as client:
        for text in ("the first one", "the second one"):
            await client.write_event(Synthesize(text).event())
            events = []
            while not events or not AudioStop.is_type(events[-1].type):
                events.append(await client.read_event())
            assert understood(events)[0] == text
        await client.write_event(Ping(text="still there?").event())
        assert Pong.from_event(await client.read_event()).text == "still there?"


async def test_streamed_text_is_spoken_sentence_by_sentence(port):
    pieces = ["The fir", "st sentence. The sec", "ond, by Dr. Who. And", " a third"]
    events = await ask(
        port,
        SynthesizeStart(voice=SynthesizeVoice(name="low")),
        *map(SynthesizeChunk, pieces),
        Synthesize("the whole text again, for servers that do not stream"),
        SynthesizeStop(),
    )
    assert SynthesizeStopped.is_type(events[-1].type)
    samples, rate = heard(events)
    sentences = ["The first sentence.", "The second, by Dr. Who.", "And a third"]
    for sentence in sentences:
        length = round((2 + len(sentence)) * tone.SYMBOL * rate / tone.SAMPLE_RATE)
        assert tone.decode(samples[:length], rate) == sentence
        samples = samples[length:]
    assert not len(samples)


async def test_the_first_sentence_is_heard_while_text_still_arrives(port):
    async with AsyncTcpClient("127.0.0.1", port) as client, asyncio.timeout(60):
        await client.write_event(SynthesizeStart().event())
        await client.write_event(SynthesizeChunk("One sentence is here. Another").event())
        assert AudioStart.is_type((await client.read_event()).type)
        await client.write_event(SynthesizeStop().event())
        while not SynthesizeStopped.is_type((await client.read_event()).type):
            pass


async def test_a_stream_without_words_ends_without_audio(port):
    events = await ask(port, SynthesizeStart(), SynthesizeChunk(" ... "), SynthesizeStop())
    assert [event.type for event in events] == ["synthesize-stopped"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (Synthesize("hello", voice=SynthesizeVoice(name="nobody")), "unknown_voice"),
        (Synthesize("hello", voice=SynthesizeVoice(name="tone", speaker="nobody")), "unknown_voice"),
        (Synthesize("?!"), "unspeakable_text"),
        (Synthesize("<speak>hello</speak>", text_format="ssml"), "invalid_request"),
        (SynthesizeStart(text_format="ssml"), "invalid_request"),
    ],
)
async def test_errors_are_reported_and_end_the_connection(port, asked, code):
    (event,) = await ask(port, asked)
    error = Error.from_event(event)
    assert error.code == code
    assert error.text


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"[]\n",
        b'{"type": "synthesize", "data": {}}\n',
        b'{"type": "synthesize", "data_length": 99999999999}\n',
        b'{"type": "synthesize", "payload_length": -1}\n',
        b"x" * 200_000,
        b"\xff\n",
    ],
    ids=lambda junk: junk[:30],
)
async def test_junk_ends_only_its_own_connection(own, junk):
    reader, writer = await asyncio.open_connection("127.0.0.1", own)
    writer.write(junk)
    with contextlib.suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 30) in (b"",)
    writer.close()
    assert understood(await ask(own, Synthesize("still here")))[0] == "still here"


async def test_unknown_events_are_ignored(own):
    async with AsyncTcpClient("127.0.0.1", own) as client:
        await client.write_event(Event("select-program", {"name": "tts-hub"}))
        await client.write_event(Event("of-tomorrow"))
        await client.write_event(Ping().event())
        assert Pong.is_type((await client.read_event()).type)


async def test_a_client_that_leaves_stops_the_model(behind, tones, reports):
    _, writer = await asyncio.open_connection("127.0.0.1", behind)
    text = "a long text. " * 5000
    event = json.dumps({"type": "synthesize", "data_length": len(json.dumps({"text": text}))}) + "\n"
    writer.write(event.encode() + json.dumps({"text": text}).encode())
    await writer.drain()
    while not any(status.running for status in tones.hub.models.status()):
        await asyncio.sleep(0.01)
    writer.transport.abort()
    report = await asyncio.to_thread(reports.ended.get, timeout=30)
    assert report.outcome == "cancelled"


async def test_a_hub_that_cannot_be_reached_is_reported(tmp_path):
    from hub.testing.fixtures import hub_process

    with (
        hub_process('[models.tone]\nbackend = "tone"\n', plugins={"tone": "hub.testing.tone"}) as hub,
        service(tmp_path, "--url", hub.url) as port,
    ):
        hub.process.kill()
        hub.process.wait()
        (event,) = await ask(port, Synthesize("is anyone there?"))
        assert Error.from_event(event).code == "backend_unavailable"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--host", "0.0.0.0"), 1, "--allow-public"),
        (("--url", "http://127.0.0.1:9"), 4, "no hub answers"),
    ],
)
def test_it_refuses_to_start_and_says_why(tmp_path, arguments, code, words):
    done = subprocess.run(
        [sys.executable, "-m", "hub", "wyoming", "--port", "0", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code
    assert words in done.stderr


def test_without_the_package_it_names_the_extra(tmp_path):
    (tmp_path / "wyoming.py").write_text("raise ImportError('not installed')\n")
    done = subprocess.run(
        [sys.executable, "-m", "hub", "wyoming"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "tts-hub[wyoming]" in done.stderr
