"""Tones that change in speech: 不 and 一, neutral tones, third tones in a row, and the 儿 that melts into its word.

The list of words with a neutral last syllable is PaddleSpeech's, from the package misaki, with the family's own
changes. Finals are written as pypinyin writes them, with the tone at the end: `ao3`; `5` is neutral.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import jieba
from misaki.tone_sandhi import ToneSandhi
from pypinyin import Style, lazy_pinyin

_ORIGINAL = ToneSandhi()
_NEUTRAL = (_ORIGINAL.must_neural_tone_words - {"别人", "将军", "戏弄"}) | {
    "打点", "老太", "老头", "学生", "不在", "情形",
}  # fmt: skip
_NOT_NEUTRAL = _ORIGINAL.must_not_neural_tone_words
_PUNCTUATION = "：，；。？！“”‘’':,;.?!"
_PARTICLES = "吧呢哈啊呐噻嘛吖嗨呐哦哒额滴哩哟喽啰耶喔诶的地得"

_MELTING = {"小院儿", "胡同儿", "范儿", "老汉儿", "撒欢儿", "寻老礼儿", "妥妥儿", "媳妇儿"}
_SEPARATE = {
    "虐儿", "为儿", "护儿", "瞒儿", "救儿", "替儿", "有儿", "一儿", "我儿", "俺儿", "妻儿", "拐儿", "聋儿", "乞儿",
    "患儿", "幼儿", "孤儿", "婴儿", "婴幼儿", "连体儿", "脑瘫儿", "流浪儿", "体弱儿", "混血儿", "蜜雪儿", "舫儿",
    "祖儿", "美儿", "应采儿", "可儿", "侄儿", "孙儿", "侄孙儿", "女儿", "男儿", "红孩儿", "花儿", "虫儿", "马儿",
    "鸟儿", "猪儿", "猫儿", "狗儿", "少儿",
}  # fmt: skip
"""Words in which 儿 means a child, or is said as a syllable of its own."""


class Word(NamedTuple):
    """A word and jieba's part of speech."""

    text: str
    tag: str


Words = list[Word]


def _finals(word: str) -> list[str]:
    return lazy_pinyin(word, neutral_tone_with_five=True, style=Style.FINALS_TONE3)


def _toned(final: str, tone: str) -> str:
    return final[:-1] + tone


def _all_third(finals: list[str]) -> bool:
    return all(final[-1] == "3" for final in finals)


# -- words that must be looked at together --------------------------------------------------------


def joined_words(words: Words) -> Words:
    """`words`; those whose tones depend on each other are joined."""
    words = _join_bu(words)
    words = _join_yi(words)
    words = _join_doubled(words)
    for meet in (_both_third, _third_meets_third):
        with contextlib.suppress(IndexError):  # a syllable without a final, such as 嗯: the words stay as they are
            words = _join_third_tones(words, meet)
    return _join_er(words)


def _join_bu(words: Words) -> Words:
    """不 with the word after it."""
    joined: Words = []
    before = ""
    for text, tag in words:
        text = before + text if before == "不" else text
        if text != "不":
            joined.append(Word(text, tag))
        before = text
    if before == "不":
        joined.append(Word("不", "d"))
    return joined


def _join_yi(words: Words) -> Words:
    """A verb, 一 and the same verb; then 一 with the word after it."""
    joined: Words = []
    index = 0
    while index < len(words):
        word, after = words[index], words[index + 1] if index + 1 < len(words) else None
        before = joined[-1] if joined else None
        if word.text == "一" and before and after and before.text == after.text and before.tag == after.tag == "v":
            joined[-1] = Word(f"{before.text}一{after.text}", before.tag)
            index += 2
        else:
            joined.append(word)
            index += 1
    return _join(joined, lambda before, _: before.text == "一")


def _join(words: Words, belongs: Callable[[Word, Word], bool]) -> Words:
    """`words`, each added to the one before where `belongs(before, word)`."""
    joined: Words = []
    for word in words:
        if joined and belongs(joined[-1], word):
            joined[-1] = Word(joined[-1].text + word.text, joined[-1].tag)
        else:
            joined.append(word)
    return joined


def _join_doubled(words: Words) -> Words:
    return _join(words, lambda before, word: before.text == word.text)


def _join_er(words: Words) -> Words:
    joined: Words = []
    for index, word in enumerate(words):
        if index and word.text == "儿" and words[index - 1].text != "#":
            joined[-1] = Word(joined[-1].text + word.text, joined[-1].tag)
        else:
            joined.append(word)
    return joined


def _both_third(before: list[str], after: list[str]) -> bool:
    return _all_third(before) and _all_third(after)


def _third_meets_third(before: list[str], after: list[str]) -> bool:
    return before[-1][-1] == "3" and after[0][-1] == "3"


def _join_third_tones(words: Words, meet: Callable[[list[str], list[str]], bool]) -> Words:
    """Join two short words, never three, where their third tones meet. A doubled word has a rule of its own."""
    finals = [_finals(word.text) for word in words]
    joined: Words = []
    just_joined = False
    for index, word in enumerate(words):
        before = words[index - 1].text if index else ""
        joins = index > 0 and meet(finals[index - 1], finals[index]) and not just_joined
        doubled = len(before) == 2 and before[0] == before[1]
        just_joined = joins and not doubled and len(before) + len(word.text) <= 3
        if just_joined:
            joined[-1] = Word(joined[-1].text + word.text, joined[-1].tag)
        else:
            joined.append(word)
    return joined


# -- the tones of one word ------------------------------------------------------------------------


def changed_tones(word: Word, finals: list[str]) -> list[str]:
    """The `finals` of `word`, one for each character, as they are said."""
    finals = _bu(word.text, list(finals))
    finals = _yi(word.text, finals)
    finals = _neutral(word, finals)
    return _third(word.text, finals)


def _bu(text: str, finals: list[str]) -> list[str]:
    if len(text) == 3 and text[1] == "不":  # 看不懂
        finals[1] = _toned(finals[1], "5")
        return finals
    for index, character in enumerate(text[:-1]):
        if character == "不" and finals[index + 1][-1] == "4":  # 不怕
            finals[index] = _toned(finals[index], "2")
    return finals


def _yi(text: str, finals: list[str]) -> list[str]:
    if "一" in text and all(character.isnumeric() for character in text):  # 二一零
        return finals
    if len(text) == 3 and text[1] == "一" and text[0] == text[2]:  # 看一看
        finals[1] = _toned(finals[1], "5")
    elif text.startswith("第一"):
        finals[1] = _toned(finals[1], "1")
    else:
        for index, character in enumerate(text[:-1]):
            if character != "一":
                continue
            if finals[index + 1][-1] == "4":  # 一段
                finals[index] = _toned(finals[index], "2")
            elif text[index + 1] not in _PUNCTUATION:  # 一天
                finals[index] = _toned(finals[index], "4")
    return finals


def _neutral(word: Word, finals: list[str]) -> list[str]:
    text, tag = word
    for index in range(1, len(text)):  # 奶奶, 试试
        if text[index] == text[index - 1] and tag[0] in "nva" and text not in _NOT_NEUTRAL:
            finals[index] = _toned(finals[index], "5")
    neutral = _neutral_index(text, tag)
    if neutral is not None:
        finals[neutral] = _toned(finals[neutral], "5")
    first, second = _halves(text)
    for half, end in ((first, len(first)), (second, len(text))):
        if half in _NEUTRAL or half[-2:] in _NEUTRAL:
            finals[end - 1] = _toned(finals[end - 1], "5")
    return finals


def _neutral_index(text: str, tag: str) -> int | None:
    """The index of the character that endings, directions and measure words make neutral, if any."""
    last, long = len(text) - 1, len(text) > 1
    ge = text.find("个")
    if text[-1] in _PARTICLES:
        return last
    if not long and text in "了着过" and tag in ("ul", "uz", "ug"):
        return last
    if long and text[-1] in "们子" and tag in ("r", "n") and text not in _NOT_NEUTRAL:
        return last
    if long and text[-1] in "上下里" and tag in ("s", "l", "f"):  # 桌上
        return last
    if long and text[-1] in "来去" and text[-2] in "上下进出回过起开":
        return last
    if text == "个" or (ge >= 1 and (text[ge - 1].isnumeric() or text[ge - 1] in "几有两半多各整每做是")):
        return ge
    return last if text in _NEUTRAL or text[-2:] in _NEUTRAL else None


def _halves(text: str) -> tuple[str, str]:
    """A word split in two, at the border of the shortest word that jieba finds in it."""
    part = min(jieba.cut_for_search(text), key=len)
    if text.startswith(part):
        return part, text[len(part) :]
    return text[: -len(part)], part


def _third(text: str, finals: list[str]) -> list[str]:
    if len(text) == 2 and _all_third(finals):
        return [_toned(finals[0], "2"), *finals[1:]]
    if len(text) == 4:
        return _third_pair(finals[:2]) + _third_pair(finals[2:])
    if len(text) != 3:
        return finals
    split = len(_halves(text)[0])
    if _all_third(finals):
        changed = {2: (0, 1), 1: (1,)}.get(split, ())  # 蒙古/包, 纸/老虎
        return [_toned(final, "2") if index in changed else final for index, final in enumerate(finals)]
    first, second = finals[:split], finals[split:]
    if len(first) == 2:
        first = _third_pair(first)  # 所有/人
    if len(second) == 2 and _all_third(second):
        second = _third_pair(second)
    elif second and not _all_third(second) and second[0][-1] == "3" and first[-1][-1] == "3":  # 好/喜欢
        first = [*first[:-1], _toned(first[-1], "2")]
    return first + second


def _third_pair(finals: list[str]) -> list[str]:
    return [_toned(finals[0], "2"), *finals[1:]] if _all_third(finals) and finals else finals


def melted_er(word: Word, finals: list[str]) -> list[str]:
    """`finals`, with a 儿 at the end of the word in the tone of the syllable that it melts into."""
    text, tag = word
    finals = list(finals)
    if finals and len(finals) <= len(text) and text[len(finals) - 1] == "儿" and finals[-1] == "er1":
        finals[-1] = "er2"
    if text not in _MELTING and (text in _SEPARATE or tag in ("a", "j", "nr")):
        return finals
    if len(finals) != len(text) or len(finals) < 2:
        return finals
    if text[-1] == "儿" and finals[-1] in ("er2", "er5") and text[-2:] not in _SEPARATE:
        finals[-1] = "er" + finals[-2][-1]
    return finals
