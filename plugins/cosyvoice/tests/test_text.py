"""Text to ids: texts cannot smuggle in control tokens, texts are cut, and a yaml is only data."""

import random
import shutil
from itertools import pairwise

import pytest
from hub_cosyvoice.config import read_config
from hub_cosyvoice.modes import language_tag, split_text
from hub_cosyvoice.text.arriving import UTTERANCE, ArrivingIds
from hub_cosyvoice.text.normalise import Normaliser
from hub_cosyvoice.text.numbers import in_words
from hub_cosyvoice.text.split import LONGEST, LONGEST_LATIN, bounded
from hub_cosyvoice.text.wetext import external
from hub_cosyvoice.tokenizer import load_tokenizer

from hub.contract.errors import WorkerStartFailed
from plugins.cosyvoice.tests.support.tiny import YAML

NORMALISER = Normaliser(lambda text: len(text.split()))


@pytest.fixture(scope="module")
def tokenizers(checkpoint):
    folders = {name: checkpoint(name) for name in ("v1", "v2", "v3")}
    return {name: load_tokenizer(folder, read_config(folder)) for name, folder in folders.items()}


@pytest.mark.parametrize(
    ("digits", "words"),
    [
        ("0", "zero"),
        ("007", "seven"),
        ("21", "twenty-one"),
        ("100", "one hundred"),
        ("305", "three hundred and five"),
        ("1001", "one thousand and one"),
        ("1234", "one thousand, two hundred and thirty-four"),
        ("1000100", "one million, one hundred"),
        ("0" * 40 + "7", "seven"),
        ("12" * 20, " ".join(["one two"] * 20)),
    ],
)
def test_numbers_in_words(digits, words):
    assert in_words(digits) == words


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("3.14", ["three.fourteen."]),
        ("今天.天气 - 很好，、", ["今天。天气-很好。"]),
        ("他说：“真的吗？”", ["他说：“真的吗？”"]),
        ("（）", []),
        ("...", []),
        ("<|en|>12", ["<|en|>12"]),
        ("   ", []),
    ],
)
def test_segments(text, segments):
    assert NORMALISER.segments(text) == segments


def test_superscripts_are_left_to_the_model_but_in_the_official_rules():
    text = "12² m², 1000 km"
    assert NORMALISER.whole(text) == "twelve² m², one thousand km"
    assert Normaliser(len, as_official=True).whole(text) == "twelve mzero, one thousand km"
    assert NORMALISER.whole("三²") == "三平方"


@pytest.mark.parametrize(
    ("clause", "rest", "longest"),
    [("a clause of some length, ", "x" * 1300, LONGEST_LATIN), ("一个不长不短的句子，", "好" * 700, LONGEST)],
)
def test_long_segments_are_cut_between_words_and_lose_nothing(clause, rest, longest):
    text = clause * 90 + rest
    parts = bounded(text)
    assert "".join(parts) == text
    assert max(map(len, parts)) <= longest
    assert all(part[-1] in " ,，" for part in parts[:-3])


def test_a_segment_as_the_models_have_it_is_not_cut():
    text = "Notwithstanding considerable difficulties, representatives acknowledged extraordinary accomplishments. " * 5
    (segment,) = NORMALISER.segments(text)
    assert len(segment) > LONGEST
    assert bounded(segment) == [segment]


def test_without_wetext_auto_reads_on_and_wetext_is_refused(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "wetext", None)
    assert external("auto") is external("builtin") is None
    with pytest.raises(WorkerStartFailed, match="tts-hub-cosyvoice\\[wetext\\]"):
        external("wetext")


def test_wetext_reads_dates():
    assert external("wetext").normalise("2024年3月5日", chinese=True) == "二零二四年三月五日"


@pytest.mark.parametrize("name", ["v1", "v2", "v3"])
@pytest.mark.parametrize(
    "token",
    ["<|endoftext|>", "<|im_start|>", "<|endofprompt|>", "<|startoftranscript|>", "<|0.00|>", "<|endofsystem|>"],
)
def test_no_callers_text_becomes_a_control_token(tokenizers, name, token):
    plain = tokenizers[name].encode(f"a{token}b")
    known = tokenizers[name].encode(token, control=True)
    if len(known) == 1:  # one that this generation has
        assert known[0] not in plain
    assert len(plain) > 3


def test_tags_that_a_text_may_have_are_ids(tokenizers):
    for text in ("[laughter]", "<strong>", "[breath]"):
        assert len(tokenizers["v2"].encode(text)) == len(tokenizers["v3"].encode(text)) == 1
    assert [len(tokenizers["v3"].encode(text)) for text in ("[zh]", "[ǐ]", "[AA0]")] == [1, 1, 1]
    assert len(tokenizers["v2"].encode("[AA0]")) > 1
    assert len(tokenizers["v1"].encode("<|yue|>")) == 1


def test_the_25_hz_vocabulary():
    from hub_cosyvoice.tokenizer.whisper import WhisperTokenizer

    tokens = WhisperTokenizer("multilingual_zh_ja_yue_char_del", languages=105)
    assert tokens.size == 60515
    assert len(tokens.encode("<|TTS/SP03|>", control=True)) == 1


def test_what_a_caller_wrote_before_the_text():
    assert split_text(3, "Be kind.<|endofprompt|>Hello.") == ("Be kind.", "", "Hello.")
    assert split_text(2, "Be kind.<|endofprompt|>Hello.") == (None, "", "Be kind.<|endofprompt|>Hello.")
    assert split_text(1, " <|ja|>Hello.") == (None, "<|ja|>", "Hello.")
    assert split_text(1, "Hello <|ja|>.") == (None, "", "Hello <|ja|>.")


@pytest.mark.parametrize(
    ("language", "text", "tag"),
    [
        (None, "Hello", "<|en|>"),
        (None, "你好", "<|zh|>"),
        (None, "こんにちは世界", "<|ja|>"),
        (None, "안녕", "<|ko|>"),
        ("yue", "你好", "<|yue|>"),
        ("zh-HK", "你好", "<|yue|>"),
        ("en-GB", "你好", "<|en|>"),
    ],
)
def test_language_tags_of_the_first_generation(language, text, tag):
    assert language_tag(language, text) == tag


def test_arriving_text_has_the_ids_of_whole_words(tokenizers):
    text = "Hello world, 你好世界。 How are you? It's 3.14!"
    encode = tokenizers["v2"].encode
    whole = list(ArrivingIds(iter([text]), tokenizers["v2"]).utterance())
    chance = random.Random(3)
    for _ in range(20):
        cuts = sorted(chance.sample(range(1, len(text)), 6))
        pieces = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
        assert list(ArrivingIds(iter(pieces), tokenizers["v2"]).utterance()) == whole
    assert whole[: len(encode("Hello world,"))] == encode("Hello world,")


def test_long_arriving_text_becomes_utterances_at_sentence_ends(tokenizers):
    sentence = "one two three four five. "
    arriving = ArrivingIds(iter([sentence] * 100), tokenizers["v2"])
    lengths = []
    while arriving.more():
        lengths.append(len(list(arriving.utterance())))
    assert len(lengths) > 1
    assert all(UTTERANCE <= length < UTTERANCE + 100 for length in lengths[:-1])


# -- the yaml ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("add", "words"),
    [
        ("x: !apply:os.system ['touch /tmp/owned']\n", "os.system"),
        ("x: !new:subprocess.Popen\n    args: ls\n", "subprocess.Popen"),
        ("x: !name:builtins.eval\n", "builtins.eval"),
        ("x: !!python/object/apply:os.system ['ls']\n", "python"),
        ("x: !include:other.yaml\n", "include"),
        ("x: !ref <nowhere>\n", "nowhere"),
        ("x: !ref <x>\n", "which does not exist"),
        ("x: !ref <sample_rate>.__class__\n", "cannot be read"),
        ("x: [\n", "cannot be read"),
    ],
)
def test_a_yaml_that_names_anything_else_is_refused(tmp_path, add, words):
    text = (YAML / "cosyvoice2.yaml").read_text()
    (tmp_path / "cosyvoice2.yaml").write_text(text + add)
    with pytest.raises(WorkerStartFailed, match=words):
        read_config(tmp_path)


def test_references_are_resolved_and_parts_must_belong_together(tmp_path):
    shutil.copy(YAML / "cosyvoice2.yaml", tmp_path)
    config = read_config(tmp_path)
    assert config.flow["decoder"]["estimator"]["static_chunk_size"] == 50
    assert (config.generation, config.sample_rate, config.token_rate, config.chunk_size) == (2, 24_000, 25, 25)
    (tmp_path / "cosyvoice2.yaml").rename(tmp_path / "cosyvoice3.yaml")
    with pytest.raises(WorkerStartFailed, match="Qwen2LM"):
        read_config(tmp_path)
    with pytest.raises(WorkerStartFailed, match=r"cosyvoice3\.yaml"):
        read_config(tmp_path / "nothing")
