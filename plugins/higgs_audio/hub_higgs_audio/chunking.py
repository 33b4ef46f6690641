"""Long texts in chunks: boson's two methods, as they are, and one that ends chunks where sentences end."""

from __future__ import annotations

from typing import Literal, NamedTuple

from hub.contract.event import Span
from hub.text.scripts import language_runs
from hub.text.sentences import split_sentences
from hub_higgs_audio.normalise import SPEAKER, normalise
from hub_higgs_audio.pace import expected_seconds

Method = Literal["sentence", "speaker", "word"]


class Chunk(NamedTuple):
    """A text to be spoken in one go, normalised; `span` is the part of the raw text that it says, where known."""

    text: str
    span: Span | None = None


def speaker_chunks(text: str, turns: int = 1) -> list[str]:
    """A chunk for each speaker's turn of a normalised text, or for each `turns` of them.

    A line that begins with a speaker's tag opens a turn; other lines belong to the turn before, and those before the
    first tag are a turn of their own.
    """
    found: list[list[str]] = []
    for line in map(str.strip, text.split("\n")):
        if not found or line.startswith(("[SPEAKER", "<|speaker_id_start|>")):
            found.append([])
        found[-1].append(line)
    chunks = [chunk for lines in found if (chunk := "\n".join(lines).strip())]
    if turns <= 1:
        return chunks
    return ["\n".join(chunks[at : at + turns]) for at in range(0, len(chunks), turns)]


def word_chunks(text: str, words: int) -> list[str]:
    """`words` words each, cut wherever that is; a blank line ends the last chunk of every paragraph.

    Words stand between single spaces; those of a Chinese text are jieba's, joined without spaces.
    """
    chunks: list[str] = []
    chinese = _is_chinese(text)
    for paragraph in text.split("\n\n"):
        parts = _chinese_words(paragraph) if chinese else paragraph.split(" ")
        joint = "" if chinese else " "
        chunks += [joint.join(parts[at : at + words]) for at in range(0, len(parts), words)]
        if chunks:
            chunks[-1] += "\n\n"
    return chunks


def _is_chinese(text: str) -> bool:
    """Whether a text counts as Chinese, about as langid (which boson asks) finds it in mixed texts: there a character
    weighs as much as seven Latin letters."""
    weights = {True: 0.0, False: 0.0}
    for run in language_runs(text):
        letters = [letter for letter in text[run.start : run.end] if letter.isalpha()]
        latin = sum(letter < "\u0250" for letter in letters)
        weights[run.language == "zh"] += len(letters) - latin + latin / 7
    return weights[True] > weights[False]


def _chinese_words(text: str) -> list[str]:
    import jieba  # builds its dictionary on first use, which only Chinese texts should wait for

    return list(jieba.cut(text, cut_all=False))


def sentence_chunks(text: str, words: int) -> list[Chunk]:
    """Whole sentences of a raw text, as many as last about as long as `words` English words do.

    A sentence that alone lasts longer is cut at a clause. A speaker's tag is carried into each chunk of its turn.
    """
    limit = words * SECONDS_A_WORD
    found: list[Chunk] = []
    start = end = -1
    tag = carried = ""
    for sentence in split_sentences(text, max(40, int(limit * LETTERS_A_SECOND))):
        tags = SPEAKER.findall(sentence.text)
        together = text[start : sentence.end] if start >= 0 else ""
        if start >= 0 and expected_seconds(together) > limit:
            found.append(_chunk(text, start, end, carried))
            start = -1
        if start < 0:
            start, carried = sentence.start, "" if sentence.text.startswith("[SPEAKER") else tag
        end = sentence.end
        tag = f"[{tags[-1]}] " if tags else tag
    if start >= 0:
        found.append(_chunk(text, start, end, carried))
    return [chunk for chunk in found if chunk.text]


SECONDS_A_WORD = 0.4
LETTERS_A_SECOND = 15


def _chunk(text: str, start: int, end: int, tag: str) -> Chunk:
    return Chunk(normalise(tag + text[start:end]), (start, end))


def chunks_of(text: str, method: Method | None, *, words: int, turns: int) -> list[Chunk]:
    """The chunks of a raw text; `method` None is one chunk. Raises nothing; no chunk is empty."""
    if method == "sentence":
        return sentence_chunks(text, words)
    whole = normalise(text)
    if method == "speaker":
        return [Chunk(chunk) for chunk in speaker_chunks(whole, turns)]
    if method == "word":
        return [Chunk(chunk) for chunk in word_chunks(whole, words) if chunk.strip()]
    return [Chunk(whole, (0, len(text)))] if whole else []
