"""Voices: recordings, prepared states, voices made up from a seed, and the speakers of dialogues."""

import io

import msgspec
import numpy as np
import pytest
import soundfile
import torch
from hub_fish_speech.prompt import Example, Prompter
from hub_fish_speech.voices import pack, read_wave, unpack
from msgspec.structs import replace

from hub.contract import CastVoice, Reference, Turn, VoiceDraft
from hub.contract.errors import InvalidAudio
from hub.testing.sounds import alike
from plugins.fish_speech.tests.support import tiny
from plugins.fish_speech.tests.support.spoken import REFERENCE, speak

SILENT = replace(REFERENCE, audio=b"")
"""A reference as it comes with a prepared state that suffices."""


@pytest.fixture
def prompted(monkeypatch):
    """The parts of the prompts: (text, transcripts, codes) of each."""
    found = []
    prompt = Prompter.prompt

    def watched(self, text, references=(), *args, **kwargs):
        found.append((text, [one.text for one in references], [one.codes.clone() for one in references]))
        return prompt(self, text, references, *args, **kwargs)

    monkeypatch.setattr(Prompter, "prompt", watched)
    return found


def test_a_prepared_voice_speaks_without_its_recordings(fish):
    assert fish.capabilities.prepared_suffices
    state = fish.make_voice(VoiceDraft(references=(REFERENCE, REFERENCE)))
    with_recordings = speak(fish, references=(REFERENCE, REFERENCE))
    prepared = speak(fish, references=(SILENT, SILENT), prepared=state)
    assert alike(prepared.samples, with_recordings.samples)
    assert prepared.report == with_recordings.report


def test_a_prepared_state_is_transcripts_and_codes():
    codes = torch.randint(0, 4096, (10, 7))
    ((text, found),) = unpack(pack([Example("Hi", codes)]))
    assert text == "Hi"
    assert torch.equal(found, codes)


@pytest.mark.parametrize("state", [b"\x80\x04.", b"", msgspec.msgpack.encode([99, []])])
def test_a_state_of_another_kind_is_refused(s1, state):
    with pytest.raises(InvalidAudio, match="store the voice again"):
        speak(s1, references=(SILENT,), prepared=state)


def test_several_references_are_all_read(s1):
    second = Reference(audio=tiny.recording(0.2, 220.0), text="Another hum.")
    one, both = speak(s1, references=(REFERENCE,)), speak(s1, references=(REFERENCE, second))
    assert not alike(one.samples, both.samples)


def test_a_reference_that_is_not_audio_is_refused(s1):
    with pytest.raises(InvalidAudio, match="cannot be read as audio"):
        speak(s1, references=(Reference(audio=b"not a wav", text="Hum."),))


def test_stereo_is_the_mean_of_its_channels():
    sides = np.stack([np.ones(4410), -np.ones(4410)], 1) * 0.5
    file = io.BytesIO()
    soundfile.write(file, sides, 44_100, format="WAV")
    assert read_wave(file.getvalue(), 44_100).abs().max() < 1e-4
    assert len(read_wave(file.getvalue(), 24_000)) == 2400


def test_a_voice_made_up_from_a_seed_speaks_every_text(s1, prompted):
    for text in ("One.", "Another text."):
        speak(s1, text, options={"seeded_voice": True})
    (none, [first], also_none, [second]) = [codes for _, _, codes in prompted]
    assert none == also_none == []
    assert torch.equal(first, second)


@pytest.mark.parametrize("prepared", [False, True])
def test_a_dialogue_has_every_speakers_voice(s2, prompted, prepared):
    def voice(*references):
        if not prepared:
            return CastVoice(references=references)
        state = s2.make_voice(VoiceDraft(references=references))
        return CastVoice(references=(SILENT,) * len(references), prepared=state)

    cast = {"ann": voice(REFERENCE), "bob": voice(REFERENCE, REFERENCE)}
    turns = (Turn(text="Hello.", speaker="bob"), Turn(text="Hi!", speaker="ann"))
    speak(s2, turns=turns, cast=cast)
    speak(s2, "<|speaker:4|>Tagged.", cast={"4": voice(REFERENCE)})
    assert [(text, transcripts) for text, transcripts, _ in prompted] == [
        (
            "<|speaker:0|>Hello.\n<|speaker:1|>Hi!",
            ["<|speaker:0|>A hum.", "<|speaker:0|>A hum.", "<|speaker:1|>A hum."],
        ),
        ("<|speaker:4|>Tagged.", ["<|speaker:4|>A hum."]),
    ]
