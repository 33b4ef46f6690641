"""Sentences: they end in the right positions, lose nothing, and take linear time on hostile text."""

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.text.cuts import is_boundary
from hub.text.sentences import split_sentences
from hub.text.speakable import is_speakable


@pytest.mark.parametrize(
    "sentences",
    [
        ["Hello there.", "How are you?", "Fine!"],
        ["Dr. Smith met Mr. and Mrs. Jones vs. the dept. of St. Ives.", "They talked."],
        ["It costs 3.14 dollars.", "Version 2.0.1 is out."],
        ["See example.com or mail a.b@c.org today.", "Thanks."],
        ["J. R. R. Tolkien wrote it.", "He joined the U.S. Army at 5 p.m. and left."],
        ["We met at 5 p.m.", "Then it rained."],
        ["Apples, pears, etc. are fruit.", "Yes."],
        ["See No. 5 and Fig. 3 on pp. 12.", "No.", "It was I.", "Go on."],
        ["Well... maybe not.", "I said… nothing.", "And then...", "He left."],
        ["“Stop!” he cried.", "“Why?” she asked.", ['"I know."', " nodded."][0], "He nodded."],
        ["She said: (see below.)", "Then she left."],
        ["What?!", "No way!!!", "Really."],
        ["hello!", "how are you?", "i am fine.", "thanks."],
        ["Über uns.", "Écoute !", "Ñandú."],
        ["1. First point.", "2. Second point."],
        ["今天天气很好。", "我们去公园吧！", "好吗？"],
        ["他说：“你好。”", "然后走了。"],
        ["价格是3.5元。", "真便宜……真的。"],
        ["こんにちは。", "元気ですか？", "はい！"],
        ["「はい。」と言った。", "それから帰った。"],
        ["안녕하세요.", "오늘은 날씨가 좋네요!", "그렇죠?"],
        ["我喜欢Python。", "It is nice.", "真的!", "OK."],
        ["यह एक वाक्य है।", "दूसरा वाक्य।"],
        ["كيف حالك؟", "بخير."],
    ],
    ids=lambda sentences: sentences[0][:20],
)
def test_sentences_are_found(sentences):
    text = " ".join(sentences)
    assert [sentence.text for sentence in split_sentences(text)] == sentences


def test_no_spaces_are_needed_between_chinese_sentences():
    found = split_sentences("你好。再见！“走吧。”他说。真的!走")
    assert [sentence.text for sentence in found] == ["你好。", "再见！", "“走吧。”", "他说。", "真的!", "走"]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("A heading\nThe first line.\nThe second", ["A heading", "The first line.", "The second"]),
        ("This was wrapped\nby hand, and it goes\non here.", ["This was wrapped\nby hand, and it goes\non here."]),
        ("one\n\ntwo", ["one", "two"]),
        ("  Hello.  \r\n\r\n  World.  ", ["Hello.", "World."]),
        ("第一行\n第二行", ["第一行", "第二行"]),
        ("By Dr.\nSmith", ["By Dr.", "Smith"]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_new_lines(text, sentences):
    assert [sentence.text for sentence in split_sentences(text)] == sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello. 😀\n\n***\nWorld. ...", ["Hello. 😀\n\n***", "World. ..."]),
        ("... !!! Hello. You.", ["... !!! Hello.", "You."]),
        ("?! ... —", ["?! ... —"]),
    ],
)
def test_text_that_has_nothing_to_say_joins_its_neighbour(text, sentences):
    assert [sentence.text for sentence in split_sentences(text)] == sentences


@pytest.mark.parametrize(
    ("text", "limit", "pieces"),
    [
        ("One two three, four five six seven.", 20, ["One two three,", "four five six seven."]),
        ("One two three four five.", 10, ["One two", "three four", "five."]),
        ("a, bcd efg hij klm", 16, ["a, bcd efg hij", "klm"]),  # not the scrap "a,"
        ("春眠不觉晓，处处闻啼鸟，夜来风雨声", 12, ["春眠不觉晓，处处闻啼鸟，", "夜来风雨声"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("1,000,000 and more", 12, ["1,000,000", "and more"]),
        ("e\u0301e\u0301e\u0301", 3, ["e\u0301", "e\u0301", "e\u0301"]),
        ("e\u0301\u0302\u0303x", 2, ["e\u0301\u0302\u0303", "x"]),
        ("\ud83d\ude00\ud83d\ude00", 3, ["\ud83d\ude00", "\ud83d\ude00"]),
    ],
)
def test_long_sentences_are_cut(text, limit, pieces):
    assert [piece.text for piece in split_sentences(text, limit)] == pieces


def test_the_limit_must_be_positive():
    with pytest.raises(ValueError, match="at least 1"):
        split_sentences("Hello.", 0)


WORDS = ["。", "！", "...", "Mr.", "e.g.", "3.5", "好", "はい", "안녕", "1.", "U.S.", "hello"]
ODDITIES = ["e\u0301", "\U0001f600", "\ufe0f", "\u200d", "\ud83d", "\ude00", "\u0301", "\x85", "\u2028"]
pieces = st.sampled_from([*".!?…,;:'\"“”「」（） \n\t\r\u3000aIZé1٣", *WORDS, *ODDITIES])
texts = st.lists(pieces, max_size=60).map("".join) | st.text(max_size=80)


@given(text=texts, limit=st.none() | st.integers(1, 30))
@example(text="a" * 50, limit=7)
@example(text="a \u0301b", limit=1)
@example(text="Mr.。\ufe0fMr.", limit=1)
def test_nothing_is_lost_or_added(text, limit):
    at = 0
    for sentence in split_sentences(text, limit):
        assert sentence.text == text[sentence.start : sentence.end]
        assert sentence.text == sentence.text.strip() != ""
        assert text[at : sentence.start].strip() == ""
        if limit is not None and len(sentence.text) > limit:
            assert not any(is_boundary(sentence.text, cut) for cut in range(limit, len(sentence.text)))
        if sentence.start == at > 0 and limit is not None:
            assert not unicodedata.category(text[at]).startswith("M") or text[at - 1].isspace()
        at = sentence.end
    assert text[at:].strip() == ""


@given(text=texts)
def test_every_sentence_can_be_spoken_if_anything_can(text):
    sentences = split_sentences(text)
    assert all(is_speakable(sentence.text) for sentence in sentences) == (is_speakable(text) or not sentences)


HOSTILE = {
    "dots": ".",
    "spaced dots": ". ",
    "quotes": '"',
    "dots and quotes": ".'",
    "spaces": " ",
    "newlines": "\n",
    "spaced newlines": " \n",
    "letters": "a",
    "han": "好",
    "marks": "\u0301",
    "joiners": "\u200d",
    "initials": "A.",
    "spaced initials": "A. ",
    "abbreviations": "Mr. ",
    "commas": ",",
    "words": "word ",
    "clauses": "word, ",
    "questions": "?! ",
    "brackets": "(",
    "bracketed": ".)",
    "openers after a dot": ". (",
    "wide gaps": "a." + " " * 100,
    "numbers": "1. ",
    "surrogates": "\ud83d",
    "jamo": "\u1161",
    "full stops": "。",
}


def count_lines(run):
    """Return how many lines of Python `run` executes: a measure of work without a clock."""
    lines = 0

    def trace(frame, event, argument):
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("limit", [None, 200])
def test_work_grows_with_length_only(name, limit):
    unit = HOSTILE[name]
    small, large = ((unit * (size // len(unit) + 1))[:size] for size in (2000, 16_000))
    base = count_lines(lambda: split_sentences(small, limit))
    assert count_lines(lambda: split_sentences(large, limit)) <= 8 * base * 1.5 + 2000


@pytest.mark.parametrize("name", ["dots", "dots and quotes", "spaces", "letters", "clauses"])
def test_a_megabyte_of_hostile_text_is_finished(name):
    text = (HOSTILE[name] * (1_000_000 // len(HOSTILE[name]) + 1))[:1_000_000]
    assert split_sentences(text, 300) or not text.strip()


@pytest.mark.parametrize("name", HOSTILE)
def test_the_pieces_of_hostile_text_are_short_enough(name):
    text = HOSTILE[name] * (100_000 // len(HOSTILE[name]))
    longest = max((len(piece.text) for piece in split_sentences(text, 300)), default=0)
    assert longest <= 300 or name in ("marks", "joiners", "jamo")  # those are one character
