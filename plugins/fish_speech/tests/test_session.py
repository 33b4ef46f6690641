"""Sessions: what they read, the frames that they make, and how they are lent. Sampling."""

import pytest
import torch
from hub_fish_speech.prompt import Example
from hub_fish_speech.sampling import Draws, pick, probabilities
from hub_fish_speech.session import LEAST_GRAPHED, RequestNoise, Session

from hub.contract import ResolvedRequest, Sampling
from hub.nn.sampling import request_generator
from hub.testing.sounds import alike
from plugins.fish_speech.tests.support.spoken import LONG, Stop, speak

DRAWS = Draws(0.8, 0.8, 1.1)


def example(frames):
    return Example("A hum.", torch.randint(0, 50, (3, frames)))


def frames_of(session, prompt, draws=DRAWS, limit=12):
    """All frames, and how many blocks they came in."""
    blocks = list(session.frames(prompt, draws, RequestNoise(request_generator(1)), limit))
    return torch.cat(blocks, 1), len(blocks)


def test_a_segment_reads_only_the_new_columns_of_its_prompt(s1):
    language, prompter, _ = s1.machinery
    hum = example(40)
    session = Session(language)
    frames_of(session, prompter.prompt("One thing.", [hum]))
    assert session.read(prompter.prompt("One time.", [hum])).shape[0] == len("ime.")
    other = prompter.prompt("Another.", [hum])
    assert torch.equal(frames_of(session, other)[0], frames_of(Session(language), other)[0])


def test_a_cache_of_any_length_gives_the_same_frames(s1):
    language, prompter, _ = s1.machinery
    prompt = prompter.prompt("Hello.", [example(30)])
    growing, long = Session(language, 10), Session(language, 900)
    assert torch.equal(frames_of(growing, prompt)[0], frames_of(long, prompt)[0])
    assert growing.length == prompt.shape[1] + 12
    assert long.length == 900
    graphed = Session(language, graphs=True)
    graphed.reserve(20)
    assert graphed.length == LEAST_GRAPHED


def test_steps_of_fixed_shape_make_the_same_frames(fish):
    """The step that a GPU captures, run as it is: a mask in place of a slice, tensors for numbers, frames in blocks."""
    language, prompter, _ = fish.machinery
    prompt = prompter.prompt("Hello.", [example(100)])
    draws = Draws(0.8, 0.8, 1.3, 20)
    exact, count = frames_of(Session(language, graphs=False), prompt, draws, 40)
    fixed, blocks = frames_of(Session(language, graphs=True), prompt, draws, 40)
    assert torch.equal(fixed, exact)
    assert (count, blocks) == (40, 6)


def test_nothing_comes_after_the_end(s1, monkeypatch):
    language, prompter, _ = s1.machinery
    prompt = prompter.prompt("Hello.")

    def frames(graphs):
        return frames_of(Session(language, graphs=graphs), prompt, Draws(0.8, 0.8), 40)[0]

    whole = frames(False)
    monkeypatch.setattr(language.tokenizer, "im_end", int(whole[0, 20]))
    first = (whole[0] == whole[0, 20]).nonzero()[0].item()
    assert torch.equal(frames(False), whole[:, : first + 1])
    assert torch.equal(frames(True), whole[:, : first + 1])


def test_a_session_that_comes_back_is_lent_again(s1, monkeypatch):
    """Sessions are kept here as on a GPU, where they keep their graphs."""
    made = []
    init = Session.__init__
    alone = [speak(s1, text, options={"chunk_length": 40}).samples for text in ("One.", LONG, "Two.")]

    def counted(self, *args, **kwargs):
        made.append(self)
        init(self, *args, **kwargs)

    monkeypatch.setattr(Session, "__init__", counted)
    monkeypatch.setattr(s1.sessions, "keeps", True)
    try:
        again = [speak(s1, text, options={"chunk_length": 40}).samples for text in ("One.", LONG, "Two.")]
        left = s1.speak(ResolvedRequest(text=LONG, seed=1, sampling=Sampling(max_new_tokens=30)), Stop())
        next(left)
        left.close()  # the caller leaves
        speak(s1)
    finally:
        s1.sessions.clear()
    assert len(made) == 1
    assert all(alike(one, other) for one, other in zip(alone, again, strict=True))


@pytest.mark.parametrize("flat", [False, True])
def test_a_large_vocabulary_is_drawn_from_like_a_small_one(flat):
    generator = request_generator(3)
    logits = torch.randn(20_000, generator=generator) * (0.01 if flat else 4)
    noise = torch.empty(20_000).exponential_(generator=generator)
    previous = logits.topk(3).indices
    for draws in (Draws(0.8, 0.8, 1.4), Draws(0.7, 0.9, 1.0, top_k=5), Draws(1.0, 1e-6)):
        wanted = (probabilities(logits, draws, previous) / noise).argmax()
        assert pick(logits, draws, noise, previous) == wanted
