import random

import pytest

from hub.text.positions import compared, substitute


def words_back(before, rewritten):
    """Yield each word of the new text, and the part of the old text that it stands for."""
    text, end = rewritten.text, 0
    for word in text.split():
        start = text.index(word, end)
        end = start + len(word)
        first, last = rewritten.positions.back((start, end))
        yield word, before[first:last]


def test_a_substitution_leads_back_to_the_whole_word():
    before = "the TTS hub, TTS!"
    rewritten = substitute(before, [(4, 7, "tea tea ess"), (13, 16, "tts")])
    assert rewritten.text == "the tea tea ess hub, tts!"
    assert list(words_back(before, rewritten)) == [
        ("the", "the"),
        ("tea", "TTS"),
        ("tea", "TTS"),
        ("ess", "TTS"),
        ("hub,", "hub,"),
        ("tts!", "TTS!"),
    ]


def test_an_unchanged_text_leads_back_to_itself():
    rewritten = compared("as it was", "as it was")
    assert not rewritten.positions
    assert rewritten.positions.back((3, 5)) == (3, 5)


def test_a_span_beside_a_deleted_part_does_not_include_it():
    before = "one (two) three"
    rewritten = substitute(before, [(4, 10, "")])
    assert rewritten.text == "one three"
    assert [before[slice(*rewritten.positions.back(span))] for span in [(0, 4), (4, 9), (0, 9)]] == [
        "one ",
        "three",
        before,
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("I have 21 cats.", "I have twenty-one cats.", {"cats.": "cats.", "twenty-one": "21", "have": "have"}),
        ("Dr. No met Mr. X and Mr. Y", "Doctor No met Mister X and Mister Y", {"No": "No", "Mister": "Mr.", "Y": "Y"}),
        ("我有3只猫。", "我有三只猫。", {"我有三只猫。": "我有3只猫。"}),
        ("all new", "something else entirely", {"something": "all", "entirely": "new"}),
    ],
)
def test_a_rewritten_text_is_compared_by_its_words(before, after, expected):
    found = dict(words_back(before, compared(before, after)))
    assert expected.items() <= found.items()


def test_spans_stay_in_order_and_inside_whatever_was_rewritten():
    chance = random.Random(5)
    for _ in range(200):
        words = [chance.choice(["a", "be", "sea", "1", "，", "你", "\n"]) for _ in range(chance.randrange(40))]
        before = " ".join(words)
        kept = [chance.choice([word, word, word, "new word", ""]) for word in words]
        rewritten = compared(before, " ".join(kept))
        spans = [rewritten.positions.back((at, at + 1)) for at in range(len(rewritten.text))]
        assert all(0 <= start <= end <= len(before) for start, end in spans)
        assert [start for start, _ in spans] == sorted(start for start, _ in spans)


def test_a_long_text_that_a_filter_changed_throughout_is_compared_quickly():
    before = " ".join(f"word{number} 7" for number in range(10_000))
    rewritten = compared(before, before.replace(" 7", " seven"))
    assert dict(words_back(before, rewritten))["word9999"] == "word9999"
