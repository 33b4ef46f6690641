"""The word error rate: a measure that finds no errors would prove nothing."""

import pytest

from hub.verify.words import compare, units
from tests.support.hearing import word_error_rate, words


def test_spelling_does_not_count():
    assert words("Mr. Smith's 2nd caf\u00e9 cost 1,250, OK?") == words(
        "mister smith's two cafe cost one thousand two hundred fifty okay"
    )
    assert word_error_rate("It\u2019s 9:30, well-known.", "it's nine thirty well known") == 0


@pytest.mark.parametrize(
    ("reference", "hypothesis", "rate"),
    [
        ("one two three four", "one two three four", 0),
        ("one two three four", "one too three four", 0.25),
        ("one two three four", "one three four", 0.25),
        ("one two three four", "one two and three four", 0.25),
        ("one two three four", "", 1),
        ("one two", "five six seven", 1.5),
    ],
)
def test_each_wrong_word_counts(reference, hypothesis, rate):
    assert word_error_rate(reference, hypothesis) == rate


@pytest.mark.parametrize(
    ("heard", "missing"),
    [
        ("the sun went down", 0),
        ("the sun went", 1),
        ("the sun", 2),
        ("the sun went town", 0),
        ("sun went down", 0),
        ("the sun went down the sun went down", 0),
        ("", 4),
    ],
)
def test_words_that_are_missing_at_the_end_are_counted(heard, missing):
    assert compare(["the", "sun", "went", "down"], heard.split()).missing == missing


@pytest.mark.parametrize(
    ("language", "said", "heard"),
    [
        ("zh", "今天天气很好，我们去公园散步吧。", "今天天气很好 我们去公园散步吧"),
        ("ja", "テーブルの上に、パンがあります。", "テーブルの上にパンがあります"),
        ("ko", "창문을 닫아 주세요.", "창문을 닫아주세요"),
    ],
)
def test_spaces_and_punctuation_do_not_count_where_characters_do(language, said, heard):
    found = compare(units(said, language), units(heard, language))
    assert (found.errors, found.units) == (0, len([char for char in said if char.isalnum() or char == "ー"]))
