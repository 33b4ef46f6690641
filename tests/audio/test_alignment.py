import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.audio.alignment import Alignment
from hub.contract import AudioChunk, Done, Mark


def chunk(seconds, span=None):
    return AudioChunk.of(np.zeros(round(seconds * 1000), np.float32), 1000, span)


def aligned(text, *events):
    alignment = Alignment(text)
    for event in (*events, Done()):
        alignment.feed(event)
    return [(character, round(start, 3), round(end, 3)) for character, start, end in alignment.take()]


def test_characters_are_spread_over_the_time_of_their_span():
    assert aligned("ab cd", chunk(1.0, (0, 2)), chunk(0.4, (3, 5))) == [
        ("a", 0, 0.5),
        ("b", 0.5, 1),
        (" ", 1, 1),
        ("c", 1, 1.2),
        ("d", 1.2, 1.4),
    ]


def test_chunks_of_one_span_count_together():
    assert aligned("ab", chunk(0.5, (0, 2)), chunk(0.5, (0, 2)), chunk(1.0, (0, 2))) == [("a", 0, 1), ("b", 1, 2)]


def test_a_space_fills_the_silence_between_two_spans():
    found = aligned("a b", chunk(1.0, (0, 1)), chunk(0.5), chunk(1.0, (2, 3)))
    assert found == [("a", 0, 1), (" ", 1, 1.5), ("b", 1.5, 2.5)]


def test_words_that_the_model_timed_override_chunks():
    marks = [Mark(kind="word", start=0.1, end=0.3, span=(0, 2)), Mark(kind="word", start=0.5, end=0.6, span=(3, 4))]
    found = aligned("ab c", chunk(0.4, (0, 4)), marks[0], chunk(0.4, (0, 4)), marks[1])
    assert found == [("a", 0.1, 0.2), ("b", 0.2, 0.3), (" ", 0.3, 0.5), ("c", 0.5, 0.6)]


def test_sentences_count_if_chunks_have_no_spans_and_estimates_never_count():
    sentence = Mark(kind="sentence", start=0.0, end=1.0, span=(0, 2))
    word = Mark(kind="word", start=0.0, end=0.1, span=(0, 1), estimated=True)
    assert aligned("ab", chunk(1.0), word, sentence) == [("a", 0, 0.5), ("b", 0.5, 1)]
    assert aligned("ab", chunk(2.0, (0, 2)), sentence) == [("a", 0, 1), ("b", 1, 2)]


def test_without_any_span_the_text_is_spread_over_the_whole():
    assert aligned("ab", chunk(1.0), chunk(1.0)) == [("a", 0, 1), ("b", 1, 2)]


def test_known_times_can_be_taken_while_the_audio_arrives():
    alignment = Alignment("ab cd")
    alignment.feed(chunk(1.0, (0, 2)))
    assert alignment.take() == []
    alignment.feed(chunk(1.0, (3, 5)))
    assert "".join(known.character for known in alignment.take()) == "ab"
    alignment.feed(Done())
    assert "".join(known.character for known in alignment.take()) == " cd"


spans = st.tuples(st.integers(0, 12), st.integers(0, 12)) | st.none()
times = st.floats(0, 5)
events = st.lists(
    st.builds(chunk, st.floats(0.01, 1), spans)
    | st.builds(
        lambda kind, start, end, span, estimated: Mark(kind=kind, start=start, end=end, span=span, estimated=estimated),
        st.sampled_from(["word", "sentence"]),
        times,
        times,
        spans,
        st.booleans(),
    )
)


@given(st.text(max_size=10), events)
def test_every_character_appears_once_and_times_never_go_back(text, events):
    found = aligned(text, *events)
    assert "".join(character for character, _, _ in found) == text
    moments = [moment for _, start, end in found for moment in (start, end)]
    assert moments == pytest.approx(sorted(moments))
