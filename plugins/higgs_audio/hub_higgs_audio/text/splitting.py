"""Long texts in passages, which boson calls chunks: boson's two methods, unchanged, and one that keeps sentences whole.

The model says one passage at a time.
"""

from __future__ import annotations

from typing import NamedTuple

from hub.contract.event import Span
from hub.text.scripts import language_runs
from hub.text.sentences import split_sentences
from hub_higgs_audio.options import ChunkMethod
from hub_higgs_audio.text.normalising import SPEAKER, normalise
from hub_higgs_audio.text.pace import expected_seconds

SECONDS_A_WORD = 0.4
LETTERS_A_SECOND = 15


class Passage(NamedTuple):
    """A normalised text to say in one go; `span` is the part of the raw text that it covers, where that is known."""

    text: str
    span: Span | None = None


def passages_of(text: str, method: ChunkMethod | None, *, words: int, turns: int) -> list[Passage]:
    """The passages of a raw text, none of them empty. Without a `method` the text is one passage."""
    if method == "sentence":
        return sentence_passages(text, words)
    whole = normalise(text)
    if method == "speaker":
        return [Passage(part) for part in speaker_passages(whole, turns)]
    if method == "word":
        return [Passage(part) for part in word_passages(whole, words) if part.strip()]
    return [Passage(whole, (0, len(text)))] if whole else []


def speaker_passages(text: str, turns: int = 1) -> list[str]:
    """A passage for each speaker's turn of a normalised text, or for each `turns` of them.

    A line that begins with a speaker's tag opens a turn. Other lines belong to the turn before; those before the first
    tag are a turn of their own.
    """
    found: list[list[str]] = []
    for line in map(str.strip, text.split("\n")):
        if not found or line.startswith(("[SPEAKER", "<|speaker_id_start|>")):
            found.append([])
        found[-1].append(line)
    passages = [passage for lines in found if (passage := "\n".join(lines).strip())]
    if turns <= 1:
        return passages
    return ["\n".join(passages[at : at + turns]) for at in range(0, len(passages), turns)]


def word_passages(text: str, words: int) -> list[str]:
    """`words` words each, cut at any word; a blank line ends the last passage of every paragraph.

    Words are separated by single spaces. jieba finds those of a Chinese text, which are joined without spaces.
    """
    passages: list[str] = []
    chinese = _is_chinese(text)
    for paragraph in text.split("\n\n"):
        parts = _chinese_words(paragraph) if chinese else paragraph.split(" ")
        joint = "" if chinese else " "
        passages += [joint.join(parts[at : at + words]) for at in range(0, len(parts), words)]
        if passages:
            passages[-1] += "\n\n"
    return passages


def _is_chinese(text: str) -> bool:
    """Recognise a Chinese text, a mixed one about as langid does, which boson uses.

    A Chinese character weighs as much as seven Latin letters.
    """
    weights = {True: 0.0, False: 0.0}
    for run in language_runs(text):
        letters = [letter for letter in text[run.start : run.end] if letter.isalpha()]
        latin = sum(letter < "\u0250" for letter in letters)
        weights[run.language == "zh"] += len(letters) - latin + latin / 7
    return weights[True] > weights[False]


def _chinese_words(text: str) -> list[str]:
    import jieba  # builds its dictionary on first use, which only Chinese texts should wait for

    return list(jieba.cut(text, cut_all=False))


def sentence_passages(text: str, words: int) -> list[Passage]:
    """Whole sentences of a raw text, as many as last about as long as `words` English words do.

    A longer sentence is cut at a clause. Each passage within a speaker's turn begins with the speaker's tag.
    """
    limit = words * SECONDS_A_WORD
    found: list[Passage] = []
    start = end = -1
    tag = carried = ""
    for sentence in split_sentences(text, max(40, int(limit * LETTERS_A_SECOND))):
        tags = SPEAKER.findall(sentence.text)
        together = text[start : sentence.end] if start >= 0 else ""
        if start >= 0 and expected_seconds(together) > limit:
            found.append(_passage(text, start, end, carried))
            start = -1
        if start < 0:
            start, carried = sentence.start, "" if sentence.text.startswith("[SPEAKER") else tag
        end = sentence.end
        tag = f"[{tags[-1]}] " if tags else tag
    if start >= 0:
        found.append(_passage(text, start, end, carried))
    return [passage for passage in found if passage.text]


def _passage(text: str, start: int, end: int, tag: str) -> Passage:
    return Passage(normalise(tag + text[start:end]), (start, end))
