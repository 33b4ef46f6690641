"""Speaking, on tiny checkpoints in this process: streams, seeds, requests at once, long texts, limits."""

import threading

import numpy as np
import pytest
from hub_fish_speech import speaking
from hub_fish_speech.prompt import Prompter
from hub_fish_speech.session import Session
from hub_fish_speech.speaking import Limits

from hub.contract import AudioChunk, Live, Reference, ResolvedRequest, Sampling, Synthesizer, Tokens
from hub.contract.backend import Codec
from hub.contract.errors import InvalidRequest, UnknownVoice, UnspeakableText
from hub.testing.sounds import alike
from plugins.fish_speech.tests.support.spoken import LONG, REFERENCE, Stop, loaded, speak


def test_it_follows_the_contract(s1):
    assert isinstance(s1, Synthesizer)
    assert isinstance(s1, Live)
    assert isinstance(s1, Codec)


def test_a_stream_is_the_whole_cut_in_growing_pieces(s1):
    whole, report, chunks = speak(s1, options={"first_chunk": 2048})
    assert len(chunks) == 1
    pieces, _, chunks = speak(s1, options={"first_chunk": 3, "largest_chunk": 12})
    assert [len(chunk.pcm) // 4 // 64 for chunk in chunks] == [3, 6, 12, 8]
    assert alike(pieces, whole)
    assert report == {"segments": 1, "frames": 30, "cut_segments": [0]}


def test_a_seed_is_a_voice_and_no_seed_is_chance(s1):
    assert alike(speak(s1).samples, speak(s1).samples)
    assert not alike(speak(s1, seed=6).samples, speak(s1).samples)
    assert not alike(speak(s1, seed=None).samples, speak(s1, seed=None).samples)


def test_requests_at_once_sound_as_they_do_alone(fish):
    texts = ["One.", "A second request, longer than the first.", LONG, "Four."]
    alone = [speak(fish, text, seed=number).samples for number, text in enumerate(texts)]
    together = [None] * len(texts)

    def run(number):
        together[number] = speak(fish, texts[number], seed=number).samples

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, many in zip(alone, together, strict=True):
        assert one.shape == many.shape
        # Not to the bit: MKL rounds by alignment. Another code would be another sound.
        assert np.abs(one - many).max() < 1e-5


def test_a_long_text_is_spoken_in_segments_with_their_positions(s1):
    samples, report, chunks = speak(s1, LONG, options={"chunk_length": 40})
    assert report["segments"] == 3
    assert len(samples) == 3 * 29 * 64  # the last frame of a run is never decoded
    spans = list(dict.fromkeys(chunk.span for chunk in chunks))
    assert [LONG[slice(*span)].split()[1] for span in spans] == ["first", "second", "here"]


def test_segments_meet_in_silence(s1):
    samples, *_ = speak(s1, LONG, options={"chunk_length": 40})
    ends = np.cumsum([29 * 64] * 2)
    for end in ends:
        assert np.abs(samples[end - 4 : end + 4]).max() < 0.01
    single = speak(s1, options={"first_chunk": 2048}).samples
    assert np.abs(single[-8:]).max() > 0.01  # the end of all is the model's own


@pytest.mark.parametrize("model", ["s1", "s2"])
def test_earlier_segments_keep_the_voice(model, request, monkeypatch):
    fish = request.getfixturevalue(model)
    prompts = []
    frames = Session.frames

    def watched(self, prompt, *args, **kwargs):
        prompts.append(prompt)
        return frames(self, prompt, *args, **kwargs)

    monkeypatch.setattr(Session, "frames", watched)
    speak(fish, LONG, options={"chunk_length": 40})
    audio = [int((prompt[1:].sum(0) > 0).sum()) for prompt in prompts]
    assert audio[0] == 0
    assert audio[1] > 20
    assert (audio[2] == audio[1]) if model == "s1" else (audio[2] > 40)
    prompts.clear()
    speak(fish, LONG, references=(REFERENCE,), options={"chunk_length": 40})
    of_reference = [int((prompt[1:].sum(0) > 0).sum()) for prompt in prompts]
    assert of_reference[0] > 300
    if model == "s1":
        assert len(set(of_reference)) == 1  # the references are the voice


def test_a_text_that_finds_no_end_is_cut_and_reported(s1, monkeypatch):
    monkeypatch.setattr(speaking, "FREE_SECONDS", 0.05)
    _, report, _ = speak(s1, "Hi.", sampling=Sampling(), options={"length_cap": 0.01})
    assert report == {"segments": 1, "frames": 39, "cut_segments": [0]}
    assert Limits(5, 1.0).of("Hi.", 21.5) == 5
    assert Limits(0, 1.0).of("Hi. " * 100, 21.5) > 5 * Limits(0, 1.0).of("Hi.", 21.5)
    assert Limits(0, 0).of("Hi.", 21.5) > 100_000


def test_one_frame_and_no_frame(s1):
    samples, report, _ = speak(s1, sampling=Sampling(max_new_tokens=1))
    assert len(samples) == 0
    assert report["frames"] == 1
    assert len(speak(s1, sampling=Sampling(max_new_tokens=2)).samples) == 64


def test_it_stops_before_the_next_step(s1):
    samples, report, chunks = speak(s1, stop=Stop(after=8), options={"first_chunk": 2})
    assert report is not None or not chunks
    assert len(samples) < 10 * 64


def test_references_that_leave_no_room_are_refused(s1_folder):
    small = loaded(s1_folder, max_seq_len=500)
    speak(small, references=(REFERENCE,))
    with pytest.raises(InvalidRequest, match="no room"):
        speak(small, references=(REFERENCE, REFERENCE))


def test_text_that_arrives_is_spoken_in_one_go(s1):
    request = ResolvedRequest(seed=5, sampling=Sampling(max_new_tokens=30))
    text = "The first sentence. The second one, which"
    events = list(s1.speak_live(request, iter([text[:12], text[12:], " is longer."]), Stop()))
    spans = list(dict.fromkeys(event.span for event in events if isinstance(event, AudioChunk)))
    assert spans == [(0, 19), (20, 52)]
    assert events[-1].report["segments"] == 2


def test_a_speaker_of_text_that_arrives_speaks_on(s2, monkeypatch):
    texts = []
    prompt = Prompter.prompt

    def watched(self, text, *args, **kwargs):
        texts.append(text)
        return prompt(self, text, *args, **kwargs)

    monkeypatch.setattr(Prompter, "prompt", watched)
    pieces = ["<|speaker:1|>One. ", "Two. <|speaker:0|>Three", ". Four."]
    request = ResolvedRequest(seed=5, sampling=Sampling(max_new_tokens=4))
    events = list(s2.speak_live(request, iter(pieces), Stop()))
    assert texts == ["<|speaker:1|>One.", "<|speaker:1|>Two.", "<|speaker:0|>Three.", "<|speaker:0|>Four."]
    text = "".join(pieces)
    spans = dict.fromkeys(event.span for event in events if isinstance(event, AudioChunk))
    assert [text[slice(*span)] for span in spans] == ["<|speaker:1|>One.", "Two.", "<|speaker:0|>Three.", "Four."]


def test_codes_go_both_ways(s1):
    tokens = s1.encode(REFERENCE.audio)
    assert (tokens.codebooks, tokens.frames) == (3, -(-22050 // 64))
    assert s1.decode(tokens).seconds == pytest.approx(0.5, abs=0.01)
    for wrong in ([[1]] * 2, [[-1]] * 3, [[90]] * 3):
        with pytest.raises(InvalidRequest):
            s1.decode(Tokens.from_rows(wrong))


def test_unspeakable_requests_are_refused(s1):
    with pytest.raises(UnspeakableText):
        speak(s1, "...?!")
    with pytest.raises(UnknownVoice):
        speak(s1, voice="nobody")
    with pytest.raises(InvalidRequest, match="seed"):
        speak(s1, seed=None, options={"seeded_voice": True})
    with pytest.raises(InvalidRequest, match="first_chunk"):
        speak(s1, options={"first_chunk": 0})


def test_a_penalty_that_s2_ignores_is_reported(s2):
    samples, report, _ = speak(s2, sampling=Sampling(max_new_tokens=5, repetition_penalty=1.5))
    assert report["ignored"] == ["repetition_penalty"]
    assert alike(samples, speak(s2, sampling=Sampling(max_new_tokens=5)).samples)


def test_a_reference_without_a_transcript_is_reported(s1):
    _, report, _ = speak(s1, references=(REFERENCE, Reference(audio=REFERENCE.audio)))
    assert report["untranscribed_references"] == [1]
