"""Mandarin: text -> two phones for each character, and one for each punctuation sign.

Readings come from G2PW where its model is there, else from pypinyin word by word; a table of phrases overrides those of
G2PW, and tone sandhi and 儿 change them as words are said. v1 has neither G2PW nor phrases, and says each 儿 by itself.
"""

from __future__ import annotations

import re
from typing import Protocol

import jieba
import jieba.posseg
from pypinyin import Style, lazy_pinyin
from pypinyin.contrib.tone_convert import to_finals_tone3, to_initials

from hub.contract.errors import UnspeakableText
from hub_gpt_sovits.text.tables import Tables
from hub_gpt_sovits.text.zh_sandhi import Word, changed_tones, joined_words, melted_er
from hub_gpt_sovits.tokenizer import PUNCTUATION, PUNCTUATION_CLASS, pinyin_phones

jieba.setLogLevel("ERROR")

Syllable = tuple[str, str]
"""Initial, and final with its tone, as pypinyin writes them; of punctuation, twice the sign."""

_SENTENCE = re.compile(rf"(?<=[{PUNCTUATION_CLASS}])\s*")
_AFTER_INITIAL = {"uei": "ui", "iou": "iu", "uen": "un"}
_ALONE = {"ing": "ying", "i": "yi", "in": "yin", "u": "wu"}
_ALONE_FIRST = {"v": "yu", "e": "e", "i": "y", "u": "w"}


class Reader(Protocol):
    """Reads a sentence."""

    def readings(self, sentence: str) -> list[str]:
        """Pinyin with tone, one for each character."""
        ...


class Mandarin:
    """Phones of normalised Mandarin. `reader` is G2PW, or None; `tables` has the phrases."""

    def __init__(self, reader: Reader | None, tables: Tables) -> None:
        self._reader = reader
        self._tables = tables

    def phones(self, text: str, version: str) -> tuple[list[str], list[int]]:
        """The phones of `text`, and their number for each of its characters. Raises UnspeakableText."""
        phones: list[str] = []
        counts: list[int] = []
        for sentence in _SENTENCE.split(text):
            if not sentence.strip():
                continue
            for syllable in self._syllables(sentence, version):
                said = _phones(syllable, sentence)
                phones += said
                counts.append(len(said))
        return phones, counts

    def _syllables(self, sentence: str, version: str) -> list[Syllable]:
        words = joined_words([Word(pair.word, pair.flag) for pair in jieba.posseg.cut(sentence)])
        readings = self._reader.readings(sentence) if self._reader and version != "v1" else None
        syllables: list[Syllable] = []
        start = 0
        for word in words:
            end = start + len(word.text)
            initials, finals = _by_word(word.text) if readings is None else self._fixed(word.text, readings[start:end])
            finals = changed_tones(word, finals)
            if version != "v1":
                finals = melted_er(word, finals)
            syllables += zip(initials, finals, strict=True)
            start = end
        return syllables

    def _fixed(self, text: str, readings: list[str]) -> tuple[list[str], list[str]]:
        """Initials and finals of a word from its readings; the table of phrases wins."""
        phrases = self._tables.phrases
        if text in phrases:
            readings = phrases[text]
        else:
            readings = [phrases[c][0] if c in phrases else r for c, r in zip(text, readings, strict=True)]
        spoken = [reading[:1].isalpha() for reading in readings]
        initials = [to_initials(r) if alpha else r for r, alpha in zip(readings, spoken, strict=True)]
        finals = [
            to_finals_tone3(r, neutral_tone_with_five=True) if alpha else r
            for r, alpha in zip(readings, spoken, strict=True)
        ]
        return initials, finals


def _by_word(text: str) -> tuple[list[str], list[str]]:
    initials = lazy_pinyin(text, neutral_tone_with_five=True, style=Style.INITIALS)
    return initials, lazy_pinyin(text, neutral_tone_with_five=True, style=Style.FINALS_TONE3)


def _phones(syllable: Syllable, sentence: str) -> list[str]:
    """The phones of a syllable. The symbol table spells by the rules of pinyin: `uei` is `ui` after an initial."""
    initial, final = syllable
    if initial == final and initial in PUNCTUATION:
        return [initial]
    tone = final[-1:]
    bare = final[:-1]
    if initial:
        spelled = initial + _AFTER_INITIAL.get(bare, bare)
    elif bare in _ALONE:
        spelled = _ALONE[bare]
    else:
        spelled = _ALONE_FIRST.get(bare[:1], bare[:1]) + bare[1:]
    pair = pinyin_phones().get(spelled)
    if pair is None or tone not in "12345" or not tone:
        raise UnspeakableText(f"{initial + final!r} in {sentence!r} is not a Mandarin syllable that the model knows")
    return [pair[0], pair[1] + tone]
