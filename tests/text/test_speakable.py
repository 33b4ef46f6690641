import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.text.speakable import clean, is_speakable


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "7",
        " é!",
        "好",
        "あ",
        "한",
        "Ж",
        "ب",
        "ก",
        "अ",
        "٣",
        "²",
        "½",
        "Ⅳ",
        "𝐇",
        "々",
        "😀 ok",
        "1️⃣2",
        "1\ufe0e",
        "ㄱ",
    ],
)
def test_letters_and_numbers_of_any_script_can_be_spoken(text):
    assert is_speakable(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n\t",
        "...",
        "?!—…",
        "“”「」。！",
        "___",
        "😀",
        "👍🏽",
        "👨‍👩‍👧",
        "🇩🇪",
        "1️⃣",
        "#️⃣ 9⃣",
        "ℹ️",
        "㊗️",
        "\ufe0f",
        "\u0301",
        "\u3164",
        "\u115f\u1160",
        "\u200b",
        "\ufeff",
        "\x00",
        "\ud800",
        "+=<>$€",
        "©™",
    ],
)
def test_punctuation_symbols_and_emoji_cannot_be_spoken(text):
    assert not is_speakable(text)


def test_speakable_means_a_letter_or_number_by_unicode_category():
    fillers = {0x115F, 0x1160, 0x3164, 0xFFA0}
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        assert is_speakable(character) == (unicodedata.category(character)[0] in "LN" and code not in fillers), hex(
            code
        )


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Hello, world.\n\tTab", "Hello, world.\n\tTab"),
        ("\ufeffHel\u200blo\x00 wor\u00adld\x07", "Hello world"),
        ("a\r\nb\rc\x0bd\x0ce\x85f\u2028g", "a\nb\nc\nd\ne\nf\ng"),
        ("\ud800a\udfff", "a"),
        ("\u202eabc\u202c\u2066d\u2069", "abcd"),
        ("  two  spaces  ", "  two  spaces  "),
        ("ﬁ Å ½ e\u0301", "ﬁ Å ½ e\u0301"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        ("👨\u200d👩\u200d👧", "👨\u200d👩\u200d👧"),
        ("a\u200db\u200c c\u200d", "ab c"),
        ("\u200d\u200c好\u200d", "好"),
        ("", ""),
    ],
)
def test_clean_drops_only_invisible_characters(text, cleaned):
    assert clean(text) == cleaned


junk = st.text(st.sampled_from("aé好 \n\t\r\x00\x85\u200b\u200c\u200d\ufeff\u00ad\u2028\ud800\udc00\u202e1️👨"))


@given(text=st.text() | junk)
def test_clean_twice_is_clean_once(text):
    once = clean(text)
    assert clean(once) == once
    once.encode()  # nothing is left that has no encoding
    assert is_speakable(once) or not is_speakable(text) or "\ufe0f" in once


@pytest.mark.parametrize("unit", ["\u200d", "\u200da", "é\u200d", "\x00", "\r", "\r\n", ".", "\ufe0f", "1\ufe0f", "😀"])
def test_a_megabyte_of_junk_is_finished(unit):
    text = unit * (1_000_000 // len(unit))
    clean(text)
    is_speakable(text)
