import pytest

from hub.contract.errors import InvalidRequest
from hub.text.positions import substitute
from hub.text.pronunciations import Pronunciations


def spoken(text, **entries):
    return substitute(text, Pronunciations(entries).find(text)).text


@pytest.mark.parametrize(
    ("entries", "text", "expected"),
    [
        (
            {"tts": "tea"},
            "TTS, tts and Tts; not ttss, attst, tts_x, tts2",
            "tea, tea and tea; not ttss, attst, tts_x, tts2",
        ),
        ({"Polish": "poe-lish", "polish": "pol-ish"}, "polish the Polish POLISH", "pol-ish the poe-lish pol-ish"),
        ({"US": "you ess"}, "US us Us", "you ess us Us"),
        ({"New York": "N Y", "York": "Yorck"}, "New York, York", "N Y, Yorck"),
        ({"кот": "кит"}, "Кот и коты", "кит и коты"),
        ({"σοφος": "sofos"}, "ΣΟΦΟΣ σοφος", "sofos sofos"),
        ({"重庆": "虫庆"}, "我在重庆市", "我在虫庆市"),
        ({"서울": "Seoul"}, "서울에서", "Seoul에서"),
        ({"AI": "人工智能"}, "用AI写，AIR不", "用人工智能写，AIR不"),
        ({"c++": "see plus plus"}, "C++ c++11", "see plus plus see plus plus11"),
        ({"café": "kaffay"}, "Cafe\u0301, café, cafés", "kaffay, kaffay, cafés"),
        ({"cafe": "x"}, "cafe\u0301", "cafe\u0301"),
        ({"İstanbul": "is"}, "İİ İstanbul ok", "İİ is ok"),
        ({"a": "b", "b": "c"}, "a b", "b c"),
        ({"um": ""}, "well um yes", "well  yes"),
    ],
)
def test_words_are_found_by_the_rules_of_their_script(entries, text, expected):
    assert spoken(text, **entries) == expected


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({" ": "x"}, "1 to 200"),
        ({"x" * 201: "y"}, "1 to 200"),
        ({"x": "y" * 1001}, "1001 characters"),
        ({"x": "[pause:1s]"}, "pause"),
    ],
)
def test_invalid_entries_are_refused(entries, words):
    with pytest.raises(InvalidRequest, match=words):
        Pronunciations(entries)


def test_spellings_in_phonemes_are_recognised():
    assert Pronunciations({"a": "b", "tomato": "/təˈmɑːtoʊ/"}).phonemes == "tomato"
    assert Pronunciations({"and": "and/or", "slash": "//"}).phonemes == ""


def test_a_large_dictionary_is_quick_in_a_long_text():
    entries = {f"word{number}": f"spelling {number}" for number in range(10_000)}
    text = " ".join(f"Word{number}" for number in range(9_000))
    found = list(Pronunciations(entries).find(text))
    assert len(found) == 9_000
    assert found[-1][2] == "spelling 8999"
    assert list(Pronunciations(entries).find(25_000 * "wor ")) == []  # begins as all of them do
