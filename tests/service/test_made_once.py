"""A request looks everything up once; the tests count calls and measure no times."""

import asyncio
import os
import threading
from collections import Counter

import numpy as np
import pytest
from msgspec.structs import replace

from hub.audio.decode import Audio, to_wav_f32
from hub.contract import AudioChunk, ConversionRequest, Reference, SpeechRequest, Turn
from hub.contract.voice import RecordingUpload, VoiceUpload
from hub.engine.child import Child
from hub.plugin.spec import hookimpl
from hub.service.library import upload, voice_folder
from hub.service.library.voice_folder import Facts
from hub.service.speech import cast as casting
from hub.service.speech import vet as vetting
from hub.service.tasks.speech_plan import SpeechTask
from hub.testing import tone
from hub.text.live_text import LiveText

pytestmark = pytest.mark.anyio

TURNS = (Turn(text="Good morning.", speaker="A"), Turn(text="Morning!", speaker="B"))


def recording(seconds=10.0, rate=24_000):
    return to_wav_f32(Audio(np.sin(np.arange(int(seconds * rate)) / 9).astype(np.float32) * 0.3, rate))


async def heard(speech):
    return b"".join([event.pcm async for event in speech if isinstance(event, AudioChunk)])


@pytest.fixture
def calls(monkeypatch):
    """Return calls(module, name), which begins to count the calls of a function under its name."""
    counts = Counter()

    def count(module, name, as_name=None):
        original = getattr(module, name)

        def counted(*args, **kwargs):
            counts[as_name or name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    count.counts = counts
    return count


@pytest.fixture
def looked_at(calls):
    """Count the calls that look up the voices of a dialogue."""
    calls(casting, "_speakers", "speakers")
    calls(casting, "check_capabilities")
    calls(vetting, "cast")
    calls(vetting, "check_voices")
    return calls.counts


ONCE = {"speakers": 1, "cast": 1, "check_capabilities": 1, "check_voices": 1}


async def test_the_voices_of_a_dialogue_are_looked_up_once(hubs, looked_at):
    hub = await hubs()
    await hub.models.get("tone").start()
    await heard(await hub.speak(SpeechRequest(turns=TURNS)))
    assert looked_at == ONCE


async def test_also_if_the_model_is_loaded_for_the_request(hubs, looked_at):
    hub = await hubs(model={"preload": False})
    await heard(await hub.speak(SpeechRequest(turns=TURNS)))
    assert looked_at == ONCE


async def test_and_again_only_if_the_model_is_loaded_anew_while_the_request_waits(hubs, looked_at):
    hub = await hubs(model={"options": {"concurrency": 1}})
    model = hub.models.get("tone")
    await model.start()
    first = await hub.speak(SpeechRequest(text="first", options={"seconds": 3600.0, "paced": True, "lead_ms": 0}))
    waiting = asyncio.create_task(hub.speak(SpeechRequest(turns=TURNS)))
    while not model.lane.waiting:
        await asyncio.sleep(0.01)
    assert looked_at["cast"] == 2
    await model.unload(force=True)
    await first.aclose()
    await heard(await waiting)
    assert looked_at["cast"] == 3


class Spy:
    """Counters of a request for a stored voice: scans, decodings, and the bytes that go to the worker."""

    def __init__(self, monkeypatch, library):
        self.scans = self.decodings = self.sent = 0
        scandir, decode, send = os.scandir, voice_folder.decode, Child.send

        def scanning(path="."):
            self.scans += os.fspath(path) == str(library.folder)
            return scandir(path)

        def decoding(*args, **kwargs):
            self.decodings += 1
            return decode(*args, **kwargs)

        def sending(child, data):
            self.sent += len(data)
            return send(child, data)

        monkeypatch.setattr(os, "scandir", scanning)
        monkeypatch.setattr(voice_folder, "decode", decoding)
        monkeypatch.setattr(Child, "send", sending)


@pytest.mark.parametrize("suffices", [True, False])
async def test_the_second_request_with_a_stored_voice(hubs, tmp_path, monkeypatch, suffices):
    hub = await hubs(data=str(tmp_path), model={"options": {"prepared_suffices": suffices}})
    for name in ("anna", "ben"):
        hub.voices.create(name, Facts(), (Reference(audio=recording(), text="I am here"),))
    first = await heard(await hub.speak(SpeechRequest(text="the first", voice="anna")))
    spy = Spy(monkeypatch, hub.voices)
    second = await heard(await hub.speak(SpeechRequest(text="the second", voice="anna")))
    assert (spy.scans, spy.decodings) == (0, 0)
    assert spy.sent < 5000 if suffices else spy.sent > 900_000
    pitches = {tone.pitch_of(np.frombuffer(audio, "<f4"), tone.SAMPLE_RATE) for audio in (first, second)}
    assert len(pitches) == 1
    assert pitches <= set(tone.CLONED_PITCHES)


async def test_a_recording_that_changed_counts_at_once(hubs, tmp_path, monkeypatch):
    hub = await hubs(data=str(tmp_path), model={"options": {"prepared_suffices": True}})
    hub.voices.create("anna", Facts(), (Reference(audio=recording(2.0)),))

    async def pitch():
        audio = await heard(await hub.speak(SpeechRequest(text="who is it", voice="anna")))
        return tone.pitch_of(np.frombuffer(audio, "<f4"), tone.SAMPLE_RATE)

    before = await pitch()
    (tmp_path / "voices/anna/00.wav").write_bytes(recording(2.4))
    spy = Spy(monkeypatch, hub.voices)
    assert await pitch() != before
    assert spy.decodings == 1


async def test_voices_of_a_hub_that_starts_again_are_the_same(hubs, tmp_path):
    hub = await hubs(data=str(tmp_path))
    made = hub.voices.create("anna", Facts(language="en"), (Reference(audio=recording(2.0), text=" I  am "),))
    again = await hubs(data=str(tmp_path))
    assert again.voices.get("anna") == made


async def test_an_upload_is_decoded_once(hubs, tmp_path, calls):
    hub = await hubs(data=str(tmp_path))
    calls(upload, "decode")
    calls(voice_folder, "decode")
    calls(vetting, "decode")
    await hub.keep_voice(VoiceUpload(id="anna", recordings=(RecordingUpload(audio=recording(), text="hello"),)))
    assert calls.counts == {"decode": 1}
    await heard(await hub.speak(SpeechRequest(text="hello there", voice="anna")))
    assert calls.counts == {"decode": 1}
    await heard(await hub.speak(SpeechRequest(text="hello", references=(Reference(audio=recording()),))))
    assert calls.counts == {"decode": 2}


async def test_the_references_of_a_live_text_are_decoded_once(hubs, calls):
    hub = await hubs()
    calls(vetting, "decode")
    text = LiveText(1000)
    text.write("One sentence. Another sentence. A third one. ")
    text.end()
    request = SpeechRequest(references=(Reference(audio=recording(1.0)),))
    await heard(await hub.speak_live(request, text, request_id="live"))
    assert calls.counts == {"decode": 1}


class loud:  # noqa: N801
    """A plugin with a text filter that records the threads in which it runs."""

    order = 1

    def __init__(self):
        self.threads = set()

    @hookimpl
    def register_text_filters(self):
        return [self]

    def filter(self, text, request):
        self.threads.add(threading.current_thread())
        return text.upper()


async def test_text_filters_never_run_on_the_event_loop(hubs, tmp_path):
    filters = loud()
    hub = await hubs(data=str(tmp_path), plugins=[filters])

    async def spoken(speech):
        return tone.decode(np.frombuffer(await heard(speech), "<f4"), tone.SAMPLE_RATE)

    assert await spoken(await hub.speak(SpeechRequest(text="quiet words"))) == "QUIET WORDS"
    text = LiveText(1000)
    text.write("live words. ")
    text.end()
    assert await spoken(await hub.speak_live(SpeechRequest(), text, request_id="live")) == "LIVE WORDS."
    await hub.vet(SpeechRequest(turns=TURNS))
    task, _ = await hub.tasks.submit("speech", SpeechTask(text="a long text"))
    seen = [state.state async for state in hub.tasks.watch(task.id)]
    assert seen[-1] == "completed"
    assert filters.threads
    assert threading.current_thread() not in filters.threads


async def test_a_conversion_looks_its_target_up_once(hubs, looked_at):
    hub = await hubs(model={"options": {"conversion": True}})
    await hub.models.get("tone").start()
    audio = to_wav_f32(
        Audio(np.frombuffer(await heard(await hub.speak(SpeechRequest(text="again"))), "<f4"), tone.SAMPLE_RATE)
    )
    looked_at.clear()
    request = ConversionRequest(audio=audio, voice="high")
    speech = await hub.convert(replace(request, seed=1), request_id="c")
    await heard(speech)
    assert looked_at == {"cast": 1, "check_capabilities": 1, "check_voices": 1}
