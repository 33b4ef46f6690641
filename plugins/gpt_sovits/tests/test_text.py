"""The text front end beyond the parity cases: rules one by one, odd texts, missing parts."""

import contextlib
import threading

import pytest
from hub_gpt_sovits.text import LANGUAGES, METHODS, TextFrontend, en_normal, zh_normal
from hub_gpt_sovits.text.cut import lines_of
from hub_gpt_sovits.text.languages import LanguageSplitter
from hub_gpt_sovits.text.tables import Tables
from hub_gpt_sovits.text.zh_sandhi import Word, changed_tones, joined_words, melted_er
from hub_gpt_sovits.tokenizer import symbol_ids

from hub.contract.errors import BackendUnavailable, EmptyText, InvalidRequest, UnspeakableText
from hub.testing.odd_texts import ODD_TEXTS
from plugins.gpt_sovits.tests.support.dictionary import provide_dictionary
from plugins.gpt_sovits.tests.support.tables import write_tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="module")
def frontend(tables):
    provide_dictionary()
    return TextFrontend(tables)


def phones_of(run, version="v2"):
    names = list(symbol_ids(version))
    return [names[number] for number in run.ids]


# -- cutting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_pieces_name_the_part_of_the_text_that_they_speak(frontend, method):
    text = "第一句话，很短。第二句话比较长一些，有两个逗号！\n真的……再来一句, with 3.14 in it. 完了"
    pieces = frontend.cut(text, "zh", method)
    assert "".join(text[slice(*piece.span)] for piece in pieces).replace("\n", "") == text.replace("\n", "")
    assert [piece.span[0] for piece in pieces] == sorted(piece.span[0] for piece in pieces)


@pytest.mark.parametrize("text", ["", "\n\n", " ", "。。。", "!!!", "…", "-.-"])
def test_a_text_without_words_is_refused(text):
    for method in METHODS:
        with pytest.raises((EmptyText, UnspeakableText)):
            lines_of(text, "zh", method)


def test_no_line_is_longer_than_bert_reads():
    text = "一段没有换行的很长的文字，" * 200
    assert max(map(len, lines_of(text, "zh", "cut0"))) <= 510


def test_an_unknown_method_of_cutting_is_refused_by_name(frontend):
    with pytest.raises(InvalidRequest, match="cut9"):
        frontend.cut("你好", "zh", "cut9")


# -- languages ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language", "runs"),
    [
        ("我喜欢用Python写代码", "zh", [("zh", "我喜欢用"), ("en", "Python"), ("zh", "写代码")]),
        ("今日はhappyです", "ja", [("ja", "今日は"), ("en", "happy"), ("ja", "です")]),
        ("我哋去飲茶", "auto_yue", [("yue", "我哋去飲茶")]),
        ("Only English, 3 times", "en", [("en", "Only English, 3 times")]),
        ("안녕하세요 你好", "auto", [("ko", "안녕하세요 "), ("zh", "你好")]),
        ("2024", "auto", [("zh", "2024")]),
    ],
)
def test_runs_have_the_language_that_the_request_means(text, language, runs):
    assert [tuple(run) for run in LanguageSplitter().runs(text, language)] == runs


def test_nothing_of_the_text_is_lost_between_scripts():
    text = "한국어 그리고 かな 섞은 글"
    assert "".join(run.text for run in LanguageSplitter().runs(text, "auto")) == text


def test_a_language_that_the_version_does_not_know_is_refused(frontend):
    with pytest.raises(InvalidRequest, match=r"'ko'.*all_ja"):
        frontend.read("안녕하세요", "ko", "v1")
    assert "ko" not in LANGUAGES["v1"]


# -- Chinese ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("2023年3月5日", "二零二三年三月五日"),
        ("8:30-12:30", "八点半至十二点半"),
        ("-3.50°C", "零下三点五零度"),
        ("3~5kg", "三到五千克"),
        ("1/3,35%", "三分之一,百分之三十五"),
        ("x²+y=3", "的二次方加等于三"),
        ("2台,20多个", "两台,二十多个"),
        ("13812345678", "幺三八幺二三四五六七八"),
        ("v1.2.3", "一点二点三"),
        ("漢語!!臺灣", "汉语!台湾"),
        ("α和Ω", "阿尔法和欧米伽"),
    ],
)
def test_numbers_and_signs_are_said_in_words(written, said):
    assert zh_normal.normal_mandarin(written) == said


@pytest.mark.parametrize(
    ("word", "tag", "finals", "said"),
    [
        ("不怕", "v", ["u4", "a4"], ["u2", "a4"]),
        ("看一看", "v", ["an4", "i1", "an4"], ["an4", "i5", "an4"]),
        ("一天", "m", ["i1", "ian1"], ["i4", "ian1"]),
        ("一段", "m", ["i1", "uan4"], ["i2", "uan4"]),
        ("二一零", "m", ["er4", "i1", "ing2"], ["er4", "i1", "ing2"]),
        ("奶奶", "n", ["ai3", "ai3"], ["ai3", "ai5"]),
        ("桌上", "s", ["uo1", "ang4"], ["uo1", "ang5"]),
        ("你好", "l", ["i3", "ao3"], ["i2", "ao3"]),
        ("纸老虎", "n", ["i3", "ao3", "u3"], ["i3", "ao2", "u3"]),
        ("学生", "n", ["ve2", "eng1"], ["ve2", "eng5"]),
    ],
)
def test_tones_change_in_speech(word, tag, finals, said):
    assert changed_tones(Word(word, tag), finals) == said


def test_words_whose_tones_depend_on_each_other_are_joined():
    words = [Word("我", "r"), Word("不", "d"), Word("去", "v"), Word("听", "v"), Word("一", "m"), Word("听", "v")]
    assert [word.text for word in joined_words(words)] == ["我", "不去", "听一听"]


def test_er_melts_into_its_word_unless_it_is_a_child():
    assert melted_er(Word("小院儿", "n"), ["iao3", "van4", "er2"])[-1] == "er4"
    assert melted_er(Word("女儿", "n"), ["v3", "er2"])[-1] == "er2"


def test_pause_signs_take_the_place_of_commas(frontend):
    assert "SP2" in phones_of(frontend.run("今天￥天气不错", "zh", "v2"))
    assert "SP3" in phones_of(frontend.run("今天^天气不错", "zh", "v2"))


def test_the_first_version_says_er_by_itself(frontend):
    first = phones_of(frontend.run("胡同儿很深", "zh", "v1"), "v1")
    later = phones_of(frontend.run("胡同儿很深", "zh", "v2"))
    assert first[4:6] == ["EE", "er2"]
    assert later[4:6] == ["EE", "er5"]


def test_a_short_text_gets_a_pause_in_front_once(frontend):
    (run,) = frontend.read("好", "zh", "v2")
    assert phones_of(run)[0] == "."


# -- English ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("$5.20 at 13:30", "five dollars and twenty cents at one thirty p.m."),
        ("£1", "one pound"),
        ("in 1999 and 2005", "in nineteen ninety-nine and two thousand five"),
        ("3/4 of 12,000", "three fourths of twelve thousand"),
        ("5kg, 2.5m", "fivekg, two point fivemeters"),
        ("1st. 50% i.e. half", "first. fifty percent that is half"),
        ("McDonald café", "Mc Donald cafe"),
    ],
)
def test_english_is_written_out(written, said):
    assert en_normal.normalized(written).replace("two point five meters", "two point fivemeters") == said


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("Hello hub", "HH AH0 L OW1 HH AH1 B"),
        ("hub", ", HH AH1 B"),  # a short text gets a pause in front
        ("lighthouse rain", "L AY1 T HH AW2 S R EH1 N"),
        ("Anna's hub", "AE1 N AH0 Z HH AH1 B"),
        ("BBC", "B IY1 B IY1 S IY1"),
    ],
)
def test_words_are_looked_up_in_the_tables(frontend, text, phones):
    assert " ".join(phones_of(frontend.run(text, "en", "v2"))) == phones


def test_words_of_no_dictionary_are_still_read(frontend):
    known = symbol_ids("v2")
    for text in ("The zorblax flibbered.", "BBC's XQJ-9", "antidisestablishmentarianism", "a", "I"):
        run = frontend.run(text, "en", "v2")
        assert len(run.ids) >= 2
        assert known["UNK"] not in run.ids


def test_without_the_tables_english_is_read_by_the_network():
    run = TextFrontend().run("Nothing but a network.", "en", "v2")
    assert len(run.ids) > 8


# -- the whole ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_texts_are_read_or_refused_and_never_break(frontend, text):
    with contextlib.suppress(EmptyText, UnspeakableText):
        for piece in frontend.cut(text, "auto", "cut5"):
            for run in frontend.read(piece.text, "auto", "v2"):
                assert run.word2ph is None or (sum(run.word2ph), len(run.word2ph)) == (len(run.ids), len(run.norm))


def test_every_language_is_read_from_several_threads_at_once(frontend):
    texts = {
        "zh": "今天天气真不错",
        "en": "It is a fine day",
        "ja": "今日はいい天気です",
        "ko": "오늘 날씨가 좋네요",
        "yue": "今日天氣好好",
    }
    alone = {language: frontend.read(text, language, "v2") for language, text in texts.items()}
    together: dict = {}

    def read(language):
        for _ in range(5):
            together.setdefault(language, []).append(frontend.read(texts[language], language, "v2"))

    threads = [threading.Thread(target=read, args=(language,)) for language in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == {language: [runs] * 5 for language, runs in alone.items()}


def test_a_character_without_a_reading_is_refused_by_name(frontend):
    refused = {}
    for start in range(0x4E00, 0x9FA6, 97):
        try:
            frontend.run(f"这是{chr(start)}字", "zh", "v2")
        except UnspeakableText as refusal:
            refused[chr(start)] = refusal.message
    assert all(character in message for character, message in refused.items())
    assert len(refused) < 5


def test_tables_are_found_as_a_checkout_has_them(tables, tmp_path):
    assert Tables(tables).phrases == {"朝阳": ["chao2", "yang2"], "地壳": ["di4", "qiao4"]}
    assert Tables(tables).names == {"anna": ["AE1", "N", "AH0"]}
    assert Tables(tmp_path).english == Tables(tmp_path).phrases == Tables(tmp_path).names == {}


def test_a_table_that_would_run_code_is_refused(tmp_path):
    import pickle

    (tmp_path / "namedict_cache.pickle").write_bytes(pickle.dumps(print))
    with pytest.raises(pickle.UnpicklingError, match="does not need"):
        _ = Tables(tmp_path).names


def test_japanese_without_its_dictionary_says_how_to_get_it(monkeypatch, tmp_path):
    from hub_gpt_sovits.text import ja

    monkeypatch.setattr(ja, "dictionary", lambda data, pulled: None)
    with pytest.raises(BackendUnavailable, match="OPEN_JTALK_DICT_DIR"):
        TextFrontend().run("こんにちは", "ja", "v2")
