"""The embedded voice: it conforms, a listener understands it, and no text breaks it or is half spoken."""

import os
import threading

import numpy as np
import pytest
from hibari import voices as hibari_voices
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.builtin.hibari import register_backends
from hub.builtin.hibari.synthesizer import FIRST_PIECE, HibariSynthesizer
from hub.contract import AudioChunk, Mark, ModelConfig, ResolvedRequest
from hub.contract.errors import InvalidRequest, UnknownVoice, UnspeakableText, WorkerStartFailed
from hub.testing.conformance import BackendConformance
from hub.testing.driver import Driver
from tests.support.hearing import hear, word_errors, words

SPEC = register_backends(None)[0]
RATE = 24_000

SENTENCES = (
    "The train to the coast leaves at half past nine.",
    "Please close the window before it starts to rain.",
    "My sister bought a new bicycle last Saturday.",
    "We walked along the river until the sun went down.",
    "The library is open every day except Monday.",
    "He forgot his umbrella on the bus again.",
    "Could you tell me the way to the nearest station?",
    "The children were playing football in the garden.",
    "She has worked as a doctor for twenty years.",
    "There is fresh bread on the kitchen table.",
    "The meeting was moved to Thursday afternoon.",
    "A good story begins in the middle of things.",
    "They painted the old house white and blue.",
    "I would like a cup of coffee without sugar.",
    "The mountain was covered with snow in October.",
    "Nobody knew what had happened to the letter.",
    "The museum shows paintings from the last century.",
    "Turn left at the second traffic light.",
    "It takes about three hours to drive to the city.",
    "Thank you very much for your help today.",
)


class TestConformance(BackendConformance):
    backend = "hibari"
    plugin = "hub.builtin.hibari"
    bad_options = ({"inline_phonemes": "yes"},)


class Never:
    def is_set(self):
        return False


@pytest.fixture(scope="module")
def synthesizer():
    synthesizer = HibariSynthesizer()
    synthesizer.load(ModelConfig(name="hibari"))
    yield synthesizer
    synthesizer.close()


def speak(synthesizer, text, **fields):
    fields.setdefault("seed", 0)
    return list(synthesizer.speak(ResolvedRequest(text=text, **fields), Never()))


def samples_of(events):
    chunks = [event for event in events if isinstance(event, AudioChunk)]
    assert chunks
    return np.concatenate([np.frombuffer(chunk.pcm, "<f4") for chunk in chunks])


def heard(synthesizer, text, **fields):
    return words(hear(samples_of(speak(synthesizer, text, **fields)), RATE))


def test_a_listener_understands_it():
    driver = Driver(SPEC, ModelConfig(name="hibari"), patience=120)
    try:
        requests = [ResolvedRequest(text=text, seed=number) for number, text in enumerate(SENTENCES)]
        answers = driver.speak_together(requests)
    finally:
        driver.close()
    said = [words(text) for text in SENTENCES]
    written = [words(hear(answer.or_raise().samples, RATE)) for answer in answers]
    errors = sum(map(word_errors, said, written))
    wrong = [pair for pair in zip(SENTENCES, written, strict=True) if words(pair[0]) != pair[1]]
    assert errors <= 0.05 * sum(map(len, said)), wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The price is $.50 today.", "the price is fifty cents today"),
        ("Dr. Smith lives here.", "doctor smith lives here"),
        ("It is 20\u2103 outside today.", "it is twenty degrees celsius outside today"),
        ("He ate \u2154 of the cake yesterday.", "he ate two thirds of the cake yesterday"),
        ("We have \u0663\u0664 chairs in this room.", "we have thirty four chairs in this room"),
        ("The tree is \uff56\uff45\uff52\uff59 tall and old.", "the tree is very tall and old"),
    ],
)
def test_text_that_hibaris_reader_would_drop_is_spoken(synthesizer, text, expected):
    assert heard(synthesizer, text) == words(expected)


def test_a_long_sentence_is_spoken_without_a_break_in_sense(synthesizer):
    text = (
        "When the morning came, the fishermen carried their nets down to the harbour, loaded the boats with bread and "
        "water, waved to the people who stood along the wall, and sailed out past the lighthouse into the open sea, "
        "where they stayed until the evening."
    )
    events = speak(synthesizer, text)
    spans = dict.fromkeys(event.span for event in events if isinstance(event, AudioChunk))
    assert " ".join(text[slice(*span)] for span in spans) == text
    first = next(iter(spans))
    assert first[1] - first[0] <= FIRST_PIECE
    assert [event.span for event in events if isinstance(event, Mark)] == [(0, len(text))]
    said = words(text.replace("harbour", "harbor"))
    assert word_errors(said, words(hear(samples_of(events), RATE).replace("arbour", "arbor"))) <= 0.1 * len(said)


def test_marks_and_spans_locate_each_sentence(synthesizer):
    text = "  First one. Second, by Dr. Who!\n\nThird?  "
    events = speak(synthesizer, text)
    marks = [event for event in events if isinstance(event, Mark)]
    assert [mark.text for mark in marks] == ["First one.", "Second, by Dr. Who!", "Third?"]
    assert [text[slice(*mark.span)] for mark in marks] == [mark.text for mark in marks]
    assert [mark.start for mark in marks] == [0.0, marks[0].end, marks[1].end]
    assert marks[-1].end == pytest.approx(len(samples_of(events)) / RATE)


def test_a_chunk_is_no_longer_than_a_second(synthesizer):
    chunks = [event for event in speak(synthesizer, " ".join(SENTENCES)) if isinstance(event, AudioChunk)]
    assert max(chunk.seconds for chunk in chunks) <= 1
    assert min(chunk.seconds for chunk in chunks) > 0.3


def test_without_a_seed_no_two_results_are_the_same(synthesizer):
    one, two = (samples_of(speak(synthesizer, "Hello.", seed=None)) for _ in range(2))
    assert not np.array_equal(one, two)


def test_a_repeated_sentence_is_not_the_same_noise_again(synthesizer):
    samples = samples_of(speak(synthesizer, "Hello there. Hello there.", seed=3))
    one, two = np.array_split(samples, 2)
    assert not np.array_equal(one, two)


def test_the_largest_seed(synthesizer):
    assert samples_of(speak(synthesizer, "Hello.", seed=2**63 - 1)).any()


@pytest.mark.parametrize("speed", [0.25, 0.49, 2.01, 4.0])
def test_speeds_out_of_range_are_refused_with_the_range(synthesizer, speed):
    with pytest.raises(InvalidRequest, match=r"from 0\.5 to 2\.0"):
        speak(synthesizer, "Hello.", speed=speed)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("你好", "你好"),
        ("Hello 你好, how are you?", "你好"),
        ("A long English start. " * 20 + "Привет!", "Привет"),
        ("The word λόγος is Greek.", "ό"),
        ("The word λογος is Greek.", "λογος"),
        ("مرحبا", "مرحبا"),
    ],
)
def test_scripts_it_cannot_read_are_named_before_anything_is_spoken(synthesizer, text, named):
    with pytest.raises(UnspeakableText, match="speaks English") as caught:
        next(synthesizer.speak(ResolvedRequest(text=text), Never()))
    assert repr(named) in caught.value.message
    assert text[caught.value.detail["position"] :].startswith(named)


@pytest.mark.parametrize("text", ["...", "?!", "😀", "\u200b", "\x00", "*", "- - -"])
def test_texts_without_a_word_are_refused(synthesizer, text):
    with pytest.raises(UnspeakableText, match="no letter"):
        speak(synthesizer, text)


def test_phonemes_are_read_only_on_request(synthesizer):
    injected = "[cat](/dˈɔɡ/)"
    with pytest.raises(UnspeakableText):  # these are not English letters
        speak(synthesizer, injected)
    plain, phonemes = speak(synthesizer, "[cat](/dog/)"), speak(synthesizer, "cat dog")
    assert abs(len(samples_of(plain)) - len(samples_of(phonemes))) < RATE / 2
    dog = heard(synthesizer, f"I have a {injected} and a house.", options={"inline_phonemes": True})
    assert "dog" in dog
    assert "cat" not in dog


def test_phonemes_that_do_not_exist_are_refused(synthesizer):
    with pytest.raises(InvalidRequest, match="no phoneme '你'"):
        speak(synthesizer, "[cat](/你/)", options={"inline_phonemes": True})


def test_links_stay_text_when_phonemes_are_on(synthesizer):
    said = heard(synthesizer, "Read [the guide](today) before you start.", options={"inline_phonemes": True})
    assert said == words("Read the guide today before you start.")


def test_numbers_of_any_length_are_spoken_to_their_end(synthesizer):
    seconds = [len(samples_of(speak(synthesizer, "7" * digits))) / RATE for digits in (37, 74, 148)]
    assert seconds[1] == pytest.approx(2 * seconds[0], rel=0.25)
    assert seconds[2] == pytest.approx(4 * seconds[0], rel=0.25)


def test_words_of_any_length_are_spoken_to_their_end(synthesizer):
    short, long = (len(samples_of(speak(synthesizer, "blim" * count))) for count in (6, 24))
    assert long > 3 * short


PARTS = [
    *(
        "0",
        "1",
        "23",
        ",",
        ".",
        "-",
        "'",
        "$",
        "£",
        "€",
        "%",
        "a",
        "b",
        "I",
        "X",
        "st",
        "th",
        "'s",
        ":",
        "/",
        "km",
        "²",
    ),
    *("Chapter ", "½", "¹", "٣", "(", ")", "[", "](/", "/)", "Hello", "naïve", "—", "’", "@", "#", "Dr. ", "am", "to"),
    *("_", "?", "!", "🙂", "é", "vs.", "V", "USD ", "°C", "k", "+", "=", "<", "&", "*", "~", "^", "|", "\\", "`", '"'),
    *("\u0301", "ǆ", "K", "℃", "🇩", "ﬁ", "Ⅷ", "π", " ", " ", "\n", "\t", "\x00", "\u200d", "\u00a0", "\u2028"),
]
NASTY = st.one_of(
    st.text(max_size=80),
    st.lists(
        st.sampled_from(PARTS),
        max_size=40,
    ).map("".join),
    st.builds(lambda piece, times: piece * times, st.text(min_size=1, max_size=3), st.integers(1, 120)),
)


def test_a_number_on_which_its_reader_fails_is_spelled_out(synthesizer, caplog):
    speaker = synthesizer._speaker("heart")
    with pytest.raises(IndexError):
        speaker.g2p("1" * 37)
    assert len(synthesizer._phonemes(speaker, "1" * 37, False)[0].split()) == 37
    assert not caplog.records


@given(text=NASTY, inline=st.booleans())
@example(text="[a](//)", inline=True)
@example(text="[](/a/)", inline=True)
@settings(max_examples=150)
def test_any_text_is_spoken_or_refused(synthesizer, text, inline):
    try:
        events = speak(synthesizer, text, options={"inline_phonemes": inline})
    except InvalidRequest:  # or a subclass; any other exception is a failure
        return
    samples = samples_of(events)
    assert np.isfinite(samples).all()
    assert len(samples) >= 0.05 * RATE
    assert 1e-3 < np.abs(samples).max() <= 1


@pytest.mark.parametrize("text", ["a-" * 50_000, "(" * 100_000, "x" * 100_000, "1" * 100_000, "a.\t" * 33_000])
def test_a_huge_text_starts_at_once_and_in_little_memory(synthesizer, text):
    """The first seconds must not need work on the whole text, during which the worker could not be stopped."""
    try:
        chunk = next(synthesizer.speak(ResolvedRequest(text=text, seed=0), Never()))
    except UnspeakableText:
        return
    assert chunk.span[1] <= FIRST_PIECE


def test_only_local_voices_are_listed_and_none_is_downloaded(synthesizer, tmp_path, monkeypatch):
    monkeypatch.setenv("HIBARI_HOME", str(tmp_path))
    monkeypatch.setattr(hibari_voices, "download", lambda *args: pytest.fail("it downloads"))
    assert [voice.id for voice in synthesizer.voices()] == ["heart"]
    with pytest.raises(UnknownVoice, match="it has heart"):
        speak(synthesizer, "Hello.", voice="emma")
    bundled = hibari_voices.voice_path("heart")
    os.symlink(bundled, tmp_path / hibari_voices.VOICES["emma"]["file"])  # as if it had been downloaded
    assert [voice.id for voice in synthesizer.voices()] == ["heart", "emma"]
    british, american = (samples_of(speak(synthesizer, "A bath tomato.", voice=name)) for name in ("emma", "heart"))
    assert not np.array_equal(british, american)  # one model, and two pronunciations


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"device": "cuda"}, "CPU only"),
        ({"dtype": "bfloat16"}, "dtype"),
        ({"path": "/models/other"}, "leave path empty"),
        ({"options": {"threads": 0}}, "threads"),
        ({"options": {"voice": "emma"}}, "voice"),
    ],
)
def test_unsupported_settings_are_refused(config, message):
    with pytest.raises(WorkerStartFailed, match=message):
        HibariSynthesizer().load(ModelConfig(name="hibari", **config))


def test_threads_share_the_model_without_mixing(synthesizer):
    alone = [samples_of(speak(synthesizer, text)) for text in SENTENCES[:6]]
    together = [None] * 6

    def work(number):
        together[number] = samples_of(speak(synthesizer, SENTENCES[number]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(map(np.array_equal, alone, together))
