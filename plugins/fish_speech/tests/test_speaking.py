"""Speaking, on tiny checkpoints in this process: streams, seeds, requests at once, long texts, limits."""

import threading

import numpy as np
import pytest
import torch
from hub_fish_speech import speaking
from hub_fish_speech.prompt import Example, Prompter
from hub_fish_speech.references import pack, read_wave, unpack
from hub_fish_speech.sampling import Draws, pick, probabilities
from hub_fish_speech.session import RequestNoise, Session
from hub_fish_speech.speaking import Limits
from hub_fish_speech.synthesizer import FishSpeech

from hub.contract import AudioChunk, CastVoice, Done, ModelConfig, Reference, ResolvedRequest, Sampling, Tokens, Turn
from hub.contract.errors import InvalidAudio, InvalidRequest, UnknownVoice, UnspeakableText, WorkerStartFailed
from hub.nn.sampling import request_generator
from hub.testing.sounds import alike
from plugins.fish_speech.tests.support import tiny as fish_tiny

LONG = "The first sentence is this one. The second sentence is another. And here is the last of the three."
REFERENCE = Reference(audio=fish_tiny.recording(), text="A hum.")


class Stop:
    """Set after so many questions."""

    def __init__(self, after=10**9):
        self.left = after

    def is_set(self):
        self.left -= 1
        return self.left < 0


def loaded(folder, **options):
    fish = FishSpeech()
    fish.load(ModelConfig(name="fish", path=str(folder), device="cpu", options={"warm_up": False, **options}))
    return fish


@pytest.fixture(scope="module")
def s1(tmp_path_factory):
    return loaded(fish_tiny.make_s1(tmp_path_factory.mktemp("s1")))


@pytest.fixture(scope="module")
def s2(tmp_path_factory):
    return loaded(fish_tiny.make_s2(tmp_path_factory.mktemp("s2")))


def speak(fish, text="Hello there.", stop=None, **fields):
    """(samples, report, chunks)."""
    fields.setdefault("seed", 5)
    fields.setdefault("sampling", Sampling(max_new_tokens=30))
    text = None if "turns" in fields else text
    events = list(fish.speak(ResolvedRequest(text=text, **fields), stop or Stop()))
    chunks = [event for event in events if isinstance(event, AudioChunk)]
    report = events[-1].report if events and isinstance(events[-1], Done) else None
    return np.frombuffer(b"".join(chunk.pcm for chunk in chunks), "<f4"), report, chunks


def test_a_stream_is_the_whole_cut_in_growing_pieces(s1):
    whole, report, chunks = speak(s1, options={"first_chunk": 2048})
    assert len(chunks) == 1
    pieces, _, chunks = speak(s1, options={"first_chunk": 3, "largest_chunk": 12})
    assert [len(chunk.pcm) // 4 // 64 for chunk in chunks] == [3, 6, 12, 8]
    assert alike(pieces, whole)
    assert report == {"segments": 1, "frames": 30, "cut_segments": [0]}


def test_a_seed_is_a_voice_and_no_seed_is_chance(s1):
    assert alike(speak(s1)[0], speak(s1)[0])
    assert not alike(speak(s1, seed=6)[0], speak(s1)[0])
    assert not alike(speak(s1, seed=None)[0], speak(s1, seed=None)[0])


@pytest.mark.parametrize("model", ["s1", "s2"])
def test_requests_at_once_sound_as_they_do_alone(model, request):
    fish = request.getfixturevalue(model)
    texts = ["One.", "A second request, longer than the first.", LONG, "Four."]
    alone = [speak(fish, text, seed=number)[0] for number, text in enumerate(texts)]
    together = [None] * len(texts)

    def run(number):
        together[number] = speak(fish, texts[number], seed=number)[0]

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, many in zip(alone, together, strict=True):
        assert one.shape == many.shape
        # Not to the bit: MKL rounds by how memory happens to lie. Another code would be another sound.
        assert np.abs(one - many).max() < 1e-5


def test_a_long_text_is_spoken_in_segments_that_know_their_place(s1):
    samples, report, chunks = speak(s1, LONG, options={"chunk_length": 40})
    assert report["segments"] == 3
    assert len(samples) == 3 * 29 * 64  # a run's last frame is never heard
    spans = list(dict.fromkeys(chunk.span for chunk in chunks))
    assert [LONG[slice(*span)].split()[1] for span in spans] == ["first", "second", "here"]


def test_segments_meet_in_silence(s1):
    samples, *_ = speak(s1, LONG, options={"chunk_length": 40})
    ends = np.cumsum([29 * 64] * 2)
    for end in ends:
        assert np.abs(samples[end - 4 : end + 4]).max() < 0.01
    single = speak(s1, options={"first_chunk": 2048})[0]
    assert np.abs(single[-8:]).max() > 0.01  # the end of all is the model's own


@pytest.mark.parametrize("model", ["s1", "s2"])
def test_what_was_said_keeps_the_voice_of_what_follows(model, request, monkeypatch):
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


def test_a_segment_reads_only_what_is_new_of_its_prompt(s1):
    language = s1._loaded.language
    prompter = Prompter(language.variant, language.tokenizer, 3)
    example = Example("A hum.", torch.randint(0, 50, (3, 40)))
    draws = Draws(0.8, 0.8, 1.1)

    def frames(session, text):
        noise = RequestNoise(request_generator(1))
        return torch.cat(list(session.frames(prompter.prompt(text, [example]), draws, noise, 12)), 1)

    session = Session(language)
    frames(session, "One thing.")
    assert session.read(prompter.prompt("One time.", [example])).shape[0] == len("ime.")
    assert torch.equal(frames(session, "Another."), frames(Session(language), "Another."))


def test_a_text_that_finds_no_end_is_cut_and_that_is_told(s1, monkeypatch):
    monkeypatch.setattr(speaking, "FREE_SECONDS", 0.05)
    _, report, _ = speak(s1, "Hi.", sampling=Sampling(), options={"length_cap": 0.01})
    assert report == {"segments": 1, "frames": 39, "cut_segments": [0]}
    assert Limits(5, 1.0).of("Hi.", 21.5) == 5
    assert Limits(0, 1.0).of("Hi. " * 100, 21.5) > 5 * Limits(0, 1.0).of("Hi.", 21.5)
    assert Limits(0, 0).of("Hi.", 21.5) > 100_000


@pytest.mark.parametrize("model", ["s1", "s2"])
def test_steps_of_fixed_shape_make_the_same_frames(model, request):
    """What a GPU captures, run as it is: a mask instead of a slice, numbers as tensors, several frames a block."""
    language = request.getfixturevalue(model)._loaded.language
    prompter = Prompter(language.variant, language.tokenizer, 3)
    prompt = prompter.prompt("Hello.", [Example("A hum.", torch.randint(0, 50, (3, 100)))])
    draws = Draws(0.8, 0.8, 1.3, 20)

    def frames(graphs, limit):
        session = Session(language, graphs=graphs)
        blocks = list(session.frames(prompt, draws, RequestNoise(request_generator(1)), limit))
        return torch.cat(blocks, 1), len(blocks)

    exact, count = frames(False, 40)
    fixed, blocks = frames(True, 40)
    assert torch.equal(fixed, exact)
    assert (count, blocks) == (40, 6)


def test_nothing_comes_after_the_end(s1, monkeypatch):
    language = s1._loaded.language
    prompt = Prompter(language.variant, language.tokenizer, 3).prompt("Hello.")

    def frames(graphs):
        noise = RequestNoise(request_generator(1))
        return torch.cat(list(Session(language, graphs=graphs).frames(prompt, Draws(0.8, 0.8), noise, 40)), 1)

    whole = frames(False)
    monkeypatch.setattr(language.tokenizer, "im_end", int(whole[0, 20]))
    first = (whole[0] == whole[0, 20]).nonzero()[0].item()
    assert torch.equal(frames(False), whole[:, : first + 1])
    assert torch.equal(frames(True), whole[:, : first + 1])


def test_one_frame_and_no_frame(s1):
    samples, report, _ = speak(s1, sampling=Sampling(max_new_tokens=1))
    assert len(samples) == 0
    assert report["frames"] == 1
    assert len(speak(s1, sampling=Sampling(max_new_tokens=2))[0]) == 64


def test_it_stops_before_the_next_step(s1):
    samples, report, chunks = speak(s1, stop=Stop(after=8), options={"first_chunk": 2})
    assert report is not None or not chunks
    assert len(samples) < 10 * 64


def test_a_voice_made_up_from_a_seed_speaks_every_text(s1, monkeypatch):
    heard = []
    prompt = Prompter.prompt

    def watched(self, text, references=(), *args, **kwargs):
        heard.append([example.codes.clone() for example in references])
        return prompt(self, text, references, *args, **kwargs)

    monkeypatch.setattr(Prompter, "prompt", watched)
    for text in ("One.", "Another text."):
        speak(s1, text, options={"seeded_voice": True})
    (nobody, [first], also_nobody, [second]) = heard
    assert nobody == also_nobody == []
    assert torch.equal(first, second)


def test_a_prepared_voice_is_the_recording_itself(s1):
    from hub.contract import VoiceDraft

    state = s1.make_voice(VoiceDraft(references=(REFERENCE,)))
    assert alike(speak(s1, references=(REFERENCE,))[0], speak(s1, references=(REFERENCE,), prepared=state)[0])
    with pytest.raises(InvalidAudio):
        unpack(b"\x80\x04.")
    codes = torch.randint(0, 4096, (10, 7))
    ((text, found),) = unpack(pack([Example("Hi", codes)]))
    assert text == "Hi"
    assert torch.equal(found, codes)


def test_several_references_are_all_read(s1):
    second = Reference(audio=fish_tiny.recording(0.2, 220.0), text="Another hum.")
    one, both = speak(s1, references=(REFERENCE,))[0], speak(s1, references=(REFERENCE, second))[0]
    assert not alike(one, both)


def test_a_reference_without_a_transcript_is_told(s1):
    _, report, _ = speak(s1, references=(REFERENCE, Reference(audio=REFERENCE.audio)))
    assert report["untranscribed_references"] == [1]


def test_references_that_leave_no_room_are_refused(tmp_path):
    small = loaded(fish_tiny.make_s1(tmp_path), max_seq_len=500)
    speak(small, references=(REFERENCE,))
    with pytest.raises(InvalidRequest, match="no room"):
        speak(small, references=(REFERENCE, REFERENCE))


def test_a_reference_that_is_no_sound_is_refused(s1):
    with pytest.raises(InvalidAudio, match="no sound file"):
        speak(s1, references=(Reference(audio=b"not a wav", text="Hum."),))


def test_stereo_is_heard_as_the_mean():
    import io

    import soundfile

    sides = np.stack([np.ones(4410), -np.ones(4410)], 1) * 0.5
    file = io.BytesIO()
    soundfile.write(file, sides, 44_100, format="WAV")
    assert read_wave(file.getvalue(), 44_100).abs().max() < 1e-4
    assert len(read_wave(file.getvalue(), 24_000)) == 2400


def test_a_dialogue_has_every_speakers_voice(s2, monkeypatch):
    told = []
    prompt = Prompter.prompt

    def watched(self, text, references=(), *args, **kwargs):
        told.append((text, [example.text for example in references]))
        return prompt(self, text, references, *args, **kwargs)

    monkeypatch.setattr(Prompter, "prompt", watched)
    cast = {"ann": CastVoice(references=(REFERENCE,)), "bob": CastVoice(references=(REFERENCE, REFERENCE))}
    turns = (Turn(text="Hello.", speaker="bob"), Turn(text="Hi!", speaker="ann"))
    speak(s2, turns=turns, cast=cast)
    assert told == [
        (
            "<|speaker:0|>Hello.\n<|speaker:1|>Hi!",
            ["<|speaker:0|>A hum.", "<|speaker:0|>A hum.", "<|speaker:1|>A hum."],
        )
    ]
    told.clear()
    speak(s2, "<|speaker:4|>Tagged.", cast={"4": CastVoice(references=(REFERENCE,))})
    assert told == [("<|speaker:4|>Tagged.", ["<|speaker:4|>A hum."])]


def test_text_that_arrives_is_spoken_in_one_go(s1):
    request = ResolvedRequest(seed=5, sampling=Sampling(max_new_tokens=30))
    text = "The first sentence. The second one, which"
    events = list(s1.speak_live(request, iter([text[:12], text[12:], " is longer."]), Stop()))
    spans = list(dict.fromkeys(event.span for event in events if isinstance(event, AudioChunk)))
    assert spans == [(0, 19), (20, 52)]
    assert events[-1].report["segments"] == 2


def test_a_speaker_of_text_that_arrives_speaks_on(s2, monkeypatch):
    told = []
    prompt = Prompter.prompt

    def watched(self, text, *args, **kwargs):
        told.append(text)
        return prompt(self, text, *args, **kwargs)

    monkeypatch.setattr(Prompter, "prompt", watched)
    pieces = ["<|speaker:1|>One. ", "Two. <|speaker:0|>Three", ". Four."]
    request = ResolvedRequest(seed=5, sampling=Sampling(max_new_tokens=4))
    events = list(s2.speak_live(request, iter(pieces), Stop()))
    assert told == ["<|speaker:1|>One.", "<|speaker:1|>Two.", "<|speaker:0|>Three.", "<|speaker:0|>Four."]
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


def test_what_cannot_be_said_is_refused(s1):
    with pytest.raises(UnspeakableText):
        speak(s1, "...?!")
    with pytest.raises(UnknownVoice):
        speak(s1, voice="nobody")
    with pytest.raises(InvalidRequest, match="seed"):
        speak(s1, seed=None, options={"seeded_voice": True})


def test_a_penalty_that_s2_does_not_know_is_told(s2):
    penal = Sampling(max_new_tokens=5, repetition_penalty=1.5)
    samples, report, _ = speak(s2, sampling=penal)
    assert report["ignored"] == ["repetition_penalty"]
    assert alike(samples, speak(s2, sampling=Sampling(max_new_tokens=5))[0])


def test_a_model_that_cannot_load_says_why(tmp_path):
    fish = FishSpeech()
    with pytest.raises(WorkerStartFailed, match="path"):
        fish.load(ModelConfig(name="fish"))
    with pytest.raises(WorkerStartFailed, match="no folder"):
        fish.load(ModelConfig(name="fish", path=str(tmp_path / "nothing")))
    with pytest.raises(InvalidRequest, match="warm"):
        fish.load(ModelConfig(name="fish", path=str(tmp_path), options={"warm": True}))


@pytest.mark.parametrize("flat", [False, True])
def test_a_large_vocabulary_is_drawn_from_as_a_small_one(flat):
    generator = request_generator(3)
    logits = torch.randn(20_000, generator=generator) * (0.01 if flat else 4)
    noise = torch.empty(20_000).exponential_(generator=generator)
    previous = logits.topk(3).indices
    for draws in (Draws(0.8, 0.8, 1.4), Draws(0.7, 0.9, 1.0, top_k=5), Draws(1.0, 1e-6)):
        wanted = (probabilities(logits, draws, previous) / noise).argmax()
        assert pick(logits, draws, noise, previous) == wanted
