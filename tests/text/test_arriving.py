"""Sentences of arriving text: the same as those of the whole text, never too early, as soon as possible."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.text import arriving as arriving_module
from hub.text.arriving import LONGEST, ArrivingSentences
from hub.text.sentences import split_sentences
from hub.text.speakable import is_speakable

PARTS = ["Dr.", " ", "Smith", "\n", "\n\n", "3.", "14", "e.g.", "。", "」", "「", "と", "你好", "...", "!", "?", '"']
PARTS += ["(", "U.S.", "No.", "hello", "Hello", "I", "😀", "…", "p.m.", ",", "\t", "1.", "क।", "-", "．"]
TEXTS = st.lists(st.sampled_from(PARTS), max_size=30).map("".join)


def arrive(pieces, **limits):
    """Return all sentences, and how many of them were complete before the end."""
    arriving = ArrivingSentences(**limits)
    found = [sentence for piece in pieces for sentence in arriving.feed(piece)]
    return found + arriving.flush(), len(found)


@given(text=TEXTS, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_pieces_make_the_sentences_of_the_whole(text, cuts):
    ends = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    pieces = [text[start:end] for start, end in itertools.pairwise(ends)]
    whole = split_sentences(text) if is_speakable(text) else []
    assert arrive(pieces)[0] == whole
    assert arrive(list(text))[0] == whole


@given(text=st.text(max_size=80))
def test_any_text_in_any_pieces(text):
    assert arrive(list(text))[0] == (split_sentences(text) if is_speakable(text) else [])


@pytest.mark.parametrize(
    ("pieces", "complete"),
    [
        (["Hello there.", " H"], ["Hello there."]),
        (["Hello there. "], []),  # a closing quote or small letter may follow
        (["你好。再"], ["你好。"]),
        (["「はい。」"], []),
        (["「はい。」", "と言った。そ"], ["「はい。」と言った。"]),
        (["I met Dr.", " S", "mith. W"], ["I met Dr. Smith."]),
        (["It costs 3.", "14 dollars. Y"], ["It costs 3.14 dollars."]),
        (["One. ..."], []),
        (["One. ...", " T"], ["One. ..."]),
        (["One. Two. Three. F"], ["One.", "Two.", "Three."]),
    ],
)
def test_a_sentence_is_complete_when_the_next_begins_to_speak(pieces, complete):
    arriving = ArrivingSentences()
    assert [sentence.text for piece in pieces for sentence in arriving.feed(piece)] == complete


def test_flush_returns_the_rest_unless_it_has_nothing_to_say():
    arriving = ArrivingSentences()
    assert arriving.feed("Well, so") == []
    assert [(s.text, s.start, s.end) for s in arriving.flush()] == [("Well, so", 0, 8)]
    arriving.feed(" ... ")
    assert arriving.flush() == []
    arriving.feed("yes")
    assert [(s.text, s.start, s.end) for s in arriving.flush()] == [("... yes", 9, 16)]
    assert arriving.length == 16


def test_a_sentence_without_an_end_is_cut_at_a_clause():
    text = "one, two, three, four, " * 200
    found, early = arrive(list(text), longest=100)
    assert early >= len(found) - 2
    assert all(len(sentence.text) <= 100 for sentence in found)
    assert " ".join(sentence.text for sentence in found) == text.strip()
    assert all(sentence.text.endswith(",") for sentence in found)


@pytest.mark.parametrize(
    "text", ["." * 20_000, "Hi" + "." * 20_000, "a" * 20_000, "a" + " " * 20_000, "((" * 10_000 + "a"]
)
def test_no_text_makes_later_letters_cost_more_than_earlier_ones(text, monkeypatch):
    longest = 0

    def measured(pending, max_chars):
        nonlocal longest
        longest = max(longest, len(pending))
        return split_sentences(pending, max_chars)

    monkeypatch.setattr(arriving_module, "split_sentences", measured)
    found, _ = arrive(list(text))
    assert "".join(c for s in found for c in s.text if c.isalpha()) == "".join(filter(str.isalpha, text))
    assert longest <= 3 * LONGEST + 1
