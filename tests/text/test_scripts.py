from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.text.scripts import language_runs, script_of, script_runs


@pytest.mark.parametrize(
    ("characters", "script"),
    [
        ("aZéßøıＡ𝐇ªﬁ", "latin"),
        ("好々〇㐀𠀀﨑", "han"),
        ("あアーｱゝヶ", "kana"),
        ("한ㄱᄀￏ", "hangul"),
        ("ЖяѢ", "cyrillic"),
        ("αΩ", "greek"),
        ("بپ", "arabic"),
        ("אש", "hebrew"),
        ("अक", "devanagari"),
        ("กฮ", "thai"),
        ("አ", "ethiopic"),
        ("ა", "georgian"),
        ("1٣ .,!？。“」\n😀\u0301$", "common"),
    ],
)
def test_scripts_of_characters(characters, script):
    assert {script_of(character) for character in characters} == {script}


def named(text, runs):
    return [(run[0], text[run.start : run.end]) for run in runs]


def test_common_characters_join_their_neighbour():
    text = "“Hello, 世界! Привет… 123 にほんgo"
    assert named(text, script_runs(text)) == [
        ("latin", "“Hello, "),
        ("han", "世界! "),
        ("cyrillic", "Привет… 123 "),
        ("kana", "にほん"),
        ("latin", "go"),
    ]
    assert named("1, 2!", script_runs("1, 2!")) == [("common", "1, 2!")]
    assert script_runs("") == []


@pytest.mark.parametrize(
    ("text", "default", "runs"),
    [
        ("我用Python写代码。", "en", [("zh", "我用"), ("en", "Python"), ("zh", "写代码。")]),
        ("日本語のテキスト", "", [("ja", "日本語のテキスト")]),
        ("東京 Tower です", "en", [("ja", "東京 "), ("en", "Tower "), ("ja", "です")]),
        ("大韓民國 만세", "ko", [("ko", "大韓民國 만세")]),
        ("大韓民國 만세", "", [("zh", "大韓民國 "), ("ko", "만세")]),
        ("東京", "ja-JP", [("ja", "東京")]),
        ("Привет", "ru", [("ru", "Привет")]),
        ("Hello", "", [("", "Hello")]),
        ("123", "de", [("de", "123")]),
    ],
)
def test_languages(text, default, runs):
    assert named(text, language_runs(text, default)) == runs


@given(text=st.text() | st.text(st.sampled_from("ab 好あ한Ж1.,\n")))
def test_runs_cover_the_text_without_a_gap(text):
    for runs in (script_runs(text), language_runs(text, "en")):
        assert "".join(text[run.start : run.end] for run in runs) == text
        assert all(one[0] != two[0] and one.end == two.start for one, two in pairwise(runs))
    assert all(run.script != "common" for run in script_runs(text)) or len(script_runs(text)) == 1
