"""The word error rate: a measure that finds no errors would prove nothing."""

import pytest

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
