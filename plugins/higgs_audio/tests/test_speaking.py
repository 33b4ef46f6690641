"""Speaking: streams without seams, guards, seeds, cancelling, several at once. In this process, on random weights."""

from __future__ import annotations

import threading
from itertools import combinations

import numpy as np
import pytest
import torch
from hub_higgs_audio.packets import PacketDecoder, PacketSizes, decode_whole
from hub_higgs_audio.session import Session, make_sessions
from hub_higgs_audio.speaking import RETRY_STEP

from hub.contract import CastVoice, Sampling, Tokens, Turn
from hub.contract.errors import EmptyAudio, InvalidRequest, UnspeakableText, UnsupportedCapability
from hub.testing.own_voice import own_voice
from hub.testing.sounds import alike
from plugins.higgs_audio.tests.support.saying import LONG, TEXT, reference, samples, say

# -- streams --------------------------------------------------------------------------------------


def codes_for(codec, frames):
    return torch.randint(codec.codebook_size, (codec.codebooks, frames), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(("first", "later", "piece"), [(1, 1, 1), (5, 25, 1), (7, 3, 4), (40, 40, 13), (200, 9, 200)])
def test_packets_of_any_size_are_the_whole(spoken, first, later, piece):
    codec = spoken._machinery.codec
    codes = codes_for(codec, 61)
    whole = codec.decode(codes)
    decoder = PacketDecoder(codec, PacketSizes(first, later))
    packets = [packet for part in codes.split(piece, 1) for packet in decoder.feed(part)] + list(decoder.finish())
    if first + codec.context <= 61:
        assert [packet.frame for packet in packets][:2] == [0, first]
    stream = torch.cat([packet.wave for packet in packets])
    assert stream.shape == whole.shape == (61 * codec.hop,)
    assert float((stream - whole).abs().max()) < 1e-4
    assert torch.allclose(decode_whole(codec, codes, window=17), whole, atol=1e-4)


def test_less_context_would_be_heard(spoken):
    codec = spoken._machinery.codec
    codes = codes_for(codec, 61)
    whole = codec.decode(codes)
    assert codec.context == 10
    for left, right in ((9, 10), (10, 9)):
        window = codec.decode(codes[:, 30 - left : 31 + right])[left * codec.hop :][: codec.hop]
        assert float((window - whole[30 * codec.hop : 31 * codec.hop]).abs().max()) > 1e-4


def test_an_early_first_packet_is_joined_within_a_frame(spoken):
    codec = spoken._machinery.codec
    codes = codes_for(codec, 61)
    whole = codec.decode(codes)
    decoder = PacketDecoder(codec, PacketSizes(5, 25, early=True))
    first = list(decoder.feed(codes[:, :5]))
    assert len(first) == 1
    rest = [*decoder.feed(codes[:, 5:]), *decoder.finish()]
    stream = torch.cat([packet.wave for packet in first + rest])
    assert stream.shape == whole.shape
    assert torch.allclose(stream[5 * codec.hop :], whole[5 * codec.hop :], atol=1e-4)
    short = PacketDecoder(codec, PacketSizes(5, 25, early=True))
    packets = [*short.feed(codes[:, :5]), *short.finish()]
    assert torch.allclose(torch.cat([packet.wave for packet in packets]), codec.decode(codes[:, :5]), atol=1e-4)


def test_a_stream_is_the_whole_and_comes_in_packets(spoken):
    options = {"retry": False}
    whole, _ = say(spoken, LONG, options=options)
    stream, report = say(spoken, LONG, stream=True, options=options)
    assert alike(samples(stream), samples(whole))
    assert stream[0].seconds == pytest.approx(0.2)
    assert report["seed"] == 7
    early, _ = say(spoken, LONG, stream=True, options={**options, "early": True})
    later = slice(5 * spoken._machinery.codec.hop, None)
    assert len(samples(early)) == len(samples(whole))
    assert np.allclose(samples(early)[later], samples(whole)[later], atol=1e-4)


# -- long texts and dialogues ---------------------------------------------------------------------


def test_the_chunks_of_a_long_text_have_their_spans(spoken):
    chunks, report = say(spoken, LONG, options={"chunk_max_word_num": 5, "retry": False})
    assert report["chunks"] == 4
    spans = list(dict.fromkeys(chunk.span for chunk in chunks))
    assert [LONG[slice(*span)] for span in spans] == [
        "One sentence is here.",
        "Another one follows it.",
        "A third one is said.",
        "The fourth ends it all, at last.",
    ]


@pytest.mark.parametrize("buffered", [1, None])
def test_reusing_the_opening_changes_nothing(spoken, monkeypatch, buffered):
    options = {"chunk_max_word_num": 5, "retry": False, "generation_chunk_buffer_size": buffered}
    fields = {"references": (reference(),), "options": options, "sampling": Sampling(temperature=0)}
    with_prefix, _ = say(spoken, LONG, **fields)
    monkeypatch.setattr("hub_higgs_audio.context.Context.compute_opening", lambda self: None)
    without, _ = say(spoken, LONG, **fields)
    assert np.allclose(samples(with_prefix), samples(without), atol=1e-3)


def test_the_chunks_of_a_dialogue_have_their_spans(spoken):
    turns = (Turn(text="Good morning to you.", speaker="Ann"), Turn(text="And to you as well.", speaker="Ben"))
    plain = "\n".join(turn.text for turn in turns)
    cast = {"Ann": CastVoice(references=(reference(),)), "Ben": CastVoice(voice="profile:male_en")}
    chunks, _ = say(spoken, turns=turns, cast=cast, options={"chunk_max_word_num": 3, "retry": False})
    spans = list(dict.fromkeys(chunk.span for chunk in chunks))
    assert [plain[slice(*span)] for span in spans] == [turn.text for turn in turns]


# -- guards ---------------------------------------------------------------------------------------


def test_an_answer_too_short_is_said_again_and_reported(spoken):
    sampling = Sampling(temperature=3.0, top_k=0, top_p=1.0)
    text = "This is a sentence of which nobody could have said all the words in so few moments. " * 2
    for seed in range(40):
        _, report = say(spoken, text, seed=seed, sampling=sampling, options={"chunk_method": None})
        if "retried" in report:
            break
    assert report["retried"][0]["reason"] in ("short", "empty")
    assert report["retried"][0]["seed"] == seed + RETRY_STEP
    _, without = say(spoken, text, seed=seed, sampling=sampling, options={"chunk_method": None, "retry": False})
    assert without["doubtful"][0]["reason"] == report["retried"][0]["reason"]


def test_an_answer_too_long_is_cut_at_its_budget(spoken):
    chunks, report = say(
        spoken, "A.", sampling=Sampling(temperature=0.1, max_new_tokens=2000), options={"retry": False}
    )
    assert report["cut"] == [{"chunk": 0, "reason": "budget"}]
    assert report["doubtful"] == [{"chunk": 0, "reason": "long"}]
    assert 4 < sum(chunk.seconds for chunk in chunks) < 7
    _, free = say(
        spoken, "A.", sampling=Sampling(temperature=0.1, max_new_tokens=300), options={"length_budget": False}
    )
    assert free["cut"] == [{"chunk": 0, "reason": "max_new_tokens"}]


def test_silence_ends_a_chunk_and_most_of_it_is_taken_back(spoken, monkeypatch):
    codec = spoken._machinery.codec
    decode = codec.decode

    def falling_silent(codes):
        wave = decode(codes)
        return wave if frames_heard() < 20 else wave * 1e-6

    heard = [0]

    def frames_heard():
        heard[0] += 1
        return 20 * (heard[0] > 2)

    monkeypatch.setattr(codec, "decode", falling_silent)
    sampling = Sampling(temperature=0.1, max_new_tokens=1000)
    chunks, report = say(spoken, LONG, stream=True, sampling=sampling, options={"max_silence": 2.0})
    assert report["cut"] == [{"chunk": 0, "reason": "silence"}]
    assert 1.2 <= sum(chunk.seconds for chunk in chunks) < 2.0


def test_a_prompt_that_cannot_fit_is_refused_before_it_starts(spoken):
    with pytest.raises(InvalidRequest, match="shorten the text"):
        say(spoken, sampling=Sampling(max_new_tokens=9000), options={"length_budget": False})


def test_an_opening_that_cannot_fit_is_refused_before_it_is_computed(spoken, monkeypatch):
    def computed(*_):
        raise AssertionError("the opening was computed")

    monkeypatch.setattr(spoken._machinery, "positions", 8)
    monkeypatch.setattr("hub_higgs_audio.context.prefill", computed)
    with pytest.raises(InvalidRequest, match="shorten the text"):
        say(spoken, LONG, options={"chunk_max_word_num": 4})


def test_a_repetition_penalty_is_refused(spoken):
    with pytest.raises(UnsupportedCapability, match="ras_win_len"):
        say(spoken, sampling=Sampling(repetition_penalty=1.1))


def test_a_text_of_control_tokens_has_nothing_to_say(spoken):
    with pytest.raises(UnspeakableText):
        say(spoken, "<|eot_id|><|start_header_id|>")


# -- the loop -------------------------------------------------------------------------------------


def test_reading_columns_a_step_late_changes_nothing(spoken, monkeypatch):
    """The host of a GPU sees the end of audio one step late, and undoes the step beyond it."""
    fields = {"sampling": Sampling(temperature=1.0), "options": {"force_audio": True, "retry": False}}
    at_once = [say(spoken, seed=seed, **fields) for seed in range(3)]
    begin = Session.begin

    def late(self, params):
        begin(self, params)
        self.lag = 1

    monkeypatch.setattr(Session, "begin", late)
    for seed, (chunks, report) in enumerate(at_once):
        again, reported = say(spoken, seed=seed, **fields)
        assert alike(samples(again), samples(chunks))
        assert reported == report


@pytest.fixture
def kept_sessions(spoken, monkeypatch):
    """The synthesizer's sessions stay when they come back, as on a GPU."""
    sessions = make_sessions(spoken._machinery.language, keep=2)
    monkeypatch.setattr(sessions, "keeps", True)
    monkeypatch.setattr(spoken._machinery, "sessions", sessions)
    return sessions


def test_a_session_that_is_lent_again_remembers_nothing(spoken, request):
    asked = [{"text": LONG, "seed": 1}, {"text": TEXT, "seed": 2, "sampling": Sampling(temperature=1.0)}]
    fresh = [samples(say(spoken, **fields)[0]) for fields in asked]
    sessions = request.getfixturevalue("kept_sessions")
    with sessions.lend(10) as first, sessions.lend(1500) as second:
        assert (first.cache.length, second.cache.length) == (1024, 2048)
        lent = [first, second]
    kept = [samples(say(spoken, **fields)[0]) for fields in asked]
    assert all(map(alike, kept, fresh))
    with sessions.lend(700) as again, sessions.lend(700) as longer:
        assert [again, longer] == lent  # the shortest that fits, and then the next
    with sessions.lend(5000), sessions.lend(10) as left:
        assert left is second  # the shortest made room for a longer one
    sessions.clear()
    with sessions.lend(700) as new:
        assert new not in lent


def test_a_session_that_computed_an_opening_is_lent_again(spoken, request):
    fields = {"text": LONG, "options": {"chunk_max_word_num": 5, "retry": False}}
    fresh = samples(say(spoken, **fields)[0])
    request.getfixturevalue("kept_sessions")
    assert alike(samples(say(spoken, **fields)[0]), fresh)


def test_compiling_is_for_sessions_that_are_kept(spoken, monkeypatch):
    """A session on the CPU serves one request, and compiling its step would take longer than all its steps."""
    monkeypatch.setattr(torch, "compile", lambda step, **_: pytest.fail("a step was compiled"))
    plain, _ = say(spoken)
    sessions = make_sessions(spoken._machinery.language, keep=2, compiled=True)
    monkeypatch.setattr(spoken._machinery, "sessions", sessions)
    assert alike(samples(say(spoken)[0]), samples(plain))


def test_without_force_audio_the_model_may_write_text(spoken):
    sampling = Sampling(temperature=1.0, max_new_tokens=24)
    with pytest.raises(EmptyAudio):  # random weights write text
        say(spoken, sampling=sampling, options={"force_audio": False})


def test_codes_go_there_and_back(spoken):
    tokens = spoken.encode(own_voice().audio)
    assert tokens.codebooks == spoken._machinery.codec.codebooks
    chunk = spoken.decode(tokens)
    assert chunk.seconds == pytest.approx(tokens.frames / 25)
    for wrong in (Tokens.from_rows([[1]]), Tokens.from_rows([[64]] * 8), Tokens.from_rows([[-1]] * 8)):
        with pytest.raises(InvalidRequest, match="this codec"):
            spoken.decode(wrong)


# -- seeds, cancelling, several at once -----------------------------------------------------------


def test_greedy_needs_no_seed(spoken):
    first, _ = say(spoken, seed=1, sampling=Sampling(temperature=0))
    second, _ = say(spoken, seed=2, sampling=Sampling(temperature=0))
    assert alike(samples(first), samples(second))


def test_without_a_seed_one_is_chosen_and_reported(spoken):
    chunks, report = say(spoken, seed=None)
    again, _ = say(spoken, seed=report["seed"])
    assert alike(samples(chunks), samples(again))


def test_several_at_once_sound_as_each_alone(spoken):
    requests = [{"text": TEXT, "seed": seed, "options": {"ras_win_len": seed}} for seed in range(4)]
    alone = [samples(say(spoken, **request)[0]) for request in requests]
    together: dict[int, np.ndarray] = {}

    def speak(number):
        together[number] = samples(say(spoken, **requests[number])[0])

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(alike(together[number], alone[number]) for number in range(4))
    assert not any(alike(*pair) for pair in combinations(alone, 2))


class StopAfter:
    """Set once it has been asked `count` times."""

    def __init__(self, count):
        self.left = count

    def is_set(self):
        self.left -= 1
        return self.left < 0


def test_a_caller_who_leaves_stops_it_within_a_frame(spoken, monkeypatch):
    language = spoken._machinery.language
    steps = [0]
    step = type(language).step

    def counted(self, *args):
        steps[0] += 1
        return step(self, *args)

    monkeypatch.setattr(type(language), "step", counted)
    stop = StopAfter(12)
    chunks, report = say(spoken, LONG, stop=stop)
    assert report is None or not chunks
    assert 0 < steps[0] <= 12
