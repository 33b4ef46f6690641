"""Voices: presets, recordings, and stored voices by their prepared state alone."""

from __future__ import annotations

import base64
import os
import shutil
from itertools import combinations

import msgspec
import pytest
from hub_higgs_audio.voices import read_wave
from msgspec.structs import replace

from hub.contract import CastVoice, ModelConfig, Reference, Turn, VoiceDraft
from hub.contract.errors import InvalidAudio, InvalidRequest, UnknownVoice
from hub.testing.sounds import alike
from plugins.higgs_audio.tests.support.saying import TEXT, reference, samples, say
from plugins.higgs_audio.tests.support.served import recording

FIRST, SECOND = Reference(audio=recording(110), text="I am one."), Reference(audio=recording(300), text="I am two.")
TAGGED = "[SPEAKER0] Hello there.\n[SPEAKER1] And hello to you."
CONVERSATION = [{"role": "user", "content": ["This is", 1]}, {"role": "assistant", "content": [0]}]


def silent(references):
    """The references that come with a prepared state that suffices."""
    return tuple(replace(one, audio=b"") for one in references)


def test_voices_differ(spoken):
    own = reference()
    requests = {
        "cloned": {"references": (own,)},
        "asked": {"references": (own,), "options": {"ref_audio_in_system_message": True}},
        "smart": {"voice": "smart"},
        "described": {"voice": "profile:male_en"},
        "in a scene": {"voice": "smart", "scene_text": "Audio is recorded in a cave."},
    }
    heard = {name: samples(say(spoken, **fields)[0]) for name, fields in requests.items()}
    without_words = samples(say(spoken, references=(Reference(audio=own.audio),))[0])
    assert alike(without_words, heard["asked"])
    assert not any(alike(*pair) for pair in combinations(heard.values(), 2))
    with pytest.raises(UnknownVoice, match="smart"):
        say(spoken, voice="profile:nobody")


@pytest.mark.parametrize(
    ("references", "fields"),
    [
        ((FIRST,), {}),
        ((FIRST, SECOND), {}),
        ((replace(FIRST, text=None),), {}),
        ((FIRST,), {"options": {"ref_audio_in_system_message": True}}),
        ((FIRST, SECOND), {"text": TAGGED}),
        ((FIRST, SECOND), {"options": {"conversation": CONVERSATION}}),
    ],
    ids=["one", "two", "without words", "in the system message", "one for each speaker", "a conversation"],
)
def test_the_prepared_state_suffices(spoken, monkeypatch, references, fields):
    cloned = samples(say(spoken, references=references, **fields)[0])
    prepared = spoken.make_voice(VoiceDraft(references=references))
    monkeypatch.setattr("hub_higgs_audio.voices.read_wave", lambda *_: pytest.fail("a recording was read"))
    again = samples(say(spoken, references=silent(references), prepared=prepared, **fields)[0])
    assert alike(again, cloned)


def test_the_prepared_states_of_a_cast_suffice(spoken):
    turns = (Turn(text="Good morning to you.", speaker="Ann"), Turn(text="And to you as well.", speaker="Ben"))
    voices = {"Ann": (FIRST,), "Ben": (SECOND,)}
    cast = {name: CastVoice(references=references) for name, references in voices.items()}
    prepared = {
        name: CastVoice(references=silent(references), prepared=spoken.make_voice(VoiceDraft(references=references)))
        for name, references in voices.items()
    }
    first, second = (samples(say(spoken, turns=turns, cast=each)[0]) for each in (cast, prepared))
    assert alike(first, second)


def test_the_form_of_a_prepared_state_stays(spoken):
    """States are kept on disk: what this version makes, earlier and later ones read."""
    state = msgspec.msgpack.decode(spoken.make_voice(VoiceDraft(references=(FIRST,))))
    (kept,) = state["recordings"]
    assert (set(state), set(kept)) == ({"codec", "recordings"}, {"frames", "codes", "text"})
    assert state["codec"].startswith("higgs-audio-v2 8x64 ")
    assert (len(kept["codes"]), kept["text"]) == (2 * 8 * kept["frames"], "I am one.")


def test_a_state_of_another_codec_is_made_again_or_refused(spoken):
    state = msgspec.msgpack.decode(spoken.make_voice(VoiceDraft(references=(FIRST,))))
    other = msgspec.msgpack.encode({**state, "codec": "another"})
    cloned = samples(say(spoken, references=(FIRST,))[0])
    assert alike(samples(say(spoken, references=(FIRST,), prepared=other)[0]), cloned)
    for foreign in (other, b"\x00nothing"):
        with pytest.raises(InvalidRequest, match="made with another codec"):
            say(spoken, references=silent((FIRST,)), prepared=foreign)


@pytest.mark.parametrize("damage", [{"frames": 0}, {"codes": b"\x01"}, {"frames": 1, "codes": b"\xff\x7f" * 8}])
def test_a_damaged_state_is_refused(spoken, damage):
    state = msgspec.msgpack.decode(spoken.make_voice(VoiceDraft(references=(FIRST,))))
    (kept,) = state["recordings"]
    damaged = msgspec.msgpack.encode({**state, "recordings": [{**kept, **damage}]})
    with pytest.raises(InvalidRequest, match="damaged"):
        say(spoken, prepared=damaged)


@pytest.mark.parametrize("audio", [b"", b"no sound", recording(seconds=0.001)])
def test_a_recording_that_cannot_be_used_is_the_callers_error(spoken, audio):
    with pytest.raises(InvalidAudio):
        spoken.make_voice(VoiceDraft(references=(Reference(audio=audio),)))


def test_a_recording_is_read_at_the_codecs_rate():
    assert read_wave(recording(seconds=0.5), 24_000).shape == (12_000,)
    assert read_wave(recording(seconds=0.5), 16_000).shape == (8000,)


@pytest.fixture
def stored(hub):
    """A stored voice of two recordings."""
    files = [("audio", ("one.wav", FIRST.audio, "audio/wav")), ("audio", ("two.wav", SECOND.audio, "audio/wav"))]
    kept = hub.client.post("/v1/voices", data={"id": "pair", "text": [FIRST.text, SECOND.text]}, files=files)
    assert kept.status_code == 201, kept.text
    yield "pair"
    hub.client.delete("/v1/voices/pair")


def test_a_stored_voice_sounds_as_its_recordings(hub, stored):
    references = [{"audio": base64.b64encode(one.audio).decode(), "text": one.text} for one in (FIRST, SECOND)]
    for text in (TEXT, TAGGED):
        asked = {"text": text, "model": "higgs", "seed": 7}
        cloned = hub.client.post("/v1/speech", json={**asked, "references": references})
        assert cloned.status_code == 200, cloned.text
        for _ in range(2):  # the second time the state is there, and no recording is opened
            answer = hub.client.post("/v1/speech", json={**asked, "voice": stored})
            assert answer.status_code == 200, answer.text
            assert alike(answer.content, cloned.content)


def test_a_codec_beside_the_model_counts_as_the_weights_that_prepare_voices(tmp_path):
    from hub.plugin.manager import Plugins
    from hub.testing.driver import Driver
    from plugins.higgs_audio.tests.support.tiny import Size, write_checkpoint, write_codec

    folder = write_checkpoint(tmp_path)
    spec = Plugins.discover().backends["higgs_audio"]

    def prepared():
        driver = Driver(spec, ModelConfig(name="higgs", path=str(folder / "language"), device="cpu"))
        try:
            return driver.start().weights, driver.call("make_voice", VoiceDraft(references=(FIRST,)))
        finally:
            driver.close()

    before, state = prepared()
    os.utime(folder / "language" / "config.json")
    assert prepared() == (before, state)
    shutil.rmtree(folder / "codec")
    write_codec(folder / "codec", Size(), seed=7)
    after, other = prepared()
    assert after != before
    assert other != state
