"""A request's text -> the lines that are spoken one after another.

The six methods have the names that clients of the family send (`text_split_method`), and its rules. Their lines are
then cleaned: short ones are joined, punctuation is put at the end, overlong ones are cut once more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from hub.text.speakable import nothing_to_speak
from hub_gpt_sovits.tokenizer import PUNCTUATION_CLASS

SPLITTERS = frozenset("，。？！,.?!~:：—…")
"""Punctuation at which a text may be cut, and with which a line may end."""

LONGEST = 510
"""Characters of a line: the Chinese BERT reads 512 tokens, two of them its own."""

SHORTEST = 5
"""A line with fewer characters is joined with the next one."""

_SILENT = frozenset("!?…,.- ")
_CLAUSES = frozenset(",.;?!、，。？！：…")
_REPEATED = re.compile(rf"([{PUNCTUATION_CLASS}])[{PUNCTUATION_CLASS}]+")
_AT_SPLITTER = re.compile("([" + "".join(map(re.escape, sorted(SPLITTERS))) + "])")


def lines_of(text: str, language: str, method: str) -> list[str]:
    """The lines of `text`, each with punctuation at its end. Raises EmptyText, UnspeakableText."""
    text = _REPEATED.sub(r"\1", text).strip("\n")
    if not text:
        raise nothing_to_speak(blank=True)
    stop = "." if language == "en" else "。"
    if text[0] not in SPLITTERS and len(_AT_SPLITTER.split(text, maxsplit=1)[0].strip()) < 4:
        text = stop + text  # a very short first clause is swallowed without a pause before it
    lines = [line for line in METHODS[method](text).split("\n") if line not in ("", " ")]
    spoken = []
    for line in _joined(lines):
        if not re.search(r"\w", line):
            continue
        line = line if line[-1] in SPLITTERS else line + stop
        spoken += _shortened(line) if len(line) > LONGEST else [line]
    if not spoken:
        raise nothing_to_speak(blank=False)
    return spoken


def clauses_of(text: str) -> list[str]:
    """`text` cut after each splitter, with long dashes and dots replaced and punctuation at its end."""
    text = text.replace("……", "。").replace("——", "，")
    if text[-1] not in SPLITTERS:
        text += "。"
    parts = _AT_SPLITTER.split(text)
    return [clause + splitter for clause, splitter in zip(parts[::2], parts[1::2], strict=False)]


def _spoken(pieces: Iterable[str], silent: frozenset[str] = _SILENT) -> str:
    return "\n".join(piece for piece in pieces if not set(piece) <= silent)


def whole(text: str) -> str:
    """cut0: no cut."""
    return "\n" if set(text) <= _SILENT else text


def four_clauses(text: str) -> str:
    """cut1: four clauses a line; the last line takes what is left over."""
    text = text.strip("\n")
    clauses = clauses_of(text)
    starts = list(range(0, len(clauses), 4))
    if len(starts) < 3:
        return _spoken([text] if len(starts) == 1 else ["".join(clauses)])
    bounds = [*starts[1:-1], len(clauses)]
    return _spoken("".join(clauses[start:end]) for start, end in zip(starts, bounds, strict=False))


def fifty_characters(text: str) -> str:
    """cut2: whole clauses until a line has more than 50 characters; a short rest joins the line before."""
    text = text.strip("\n")
    clauses = clauses_of(text)
    if len(clauses) < 2:
        return text
    lines, line = [], ""
    for clause in clauses:
        line += clause
        if len(line) > 50:
            lines.append(line)
            line = ""
    if line:
        lines.append(line)
    if len(lines) > 1 and len(lines[-1]) < 50:
        lines[-2:] = ["".join(lines[-2:])]
    return _spoken(lines)


def chinese_stops(text: str) -> str:
    """cut3: at each 。, which is dropped."""
    return _spoken(text.strip("\n").strip("。").split("。"))


def english_stops(text: str) -> str:
    """cut4: at each full stop outside of numbers, which is dropped."""
    return _spoken(re.split(r"(?<!\d)\.(?!\d)", text.strip("\n").strip(".")))


def every_clause(text: str) -> str:
    """cut5: after all punctuation, except for the point within a number."""
    pieces, piece = [], ""
    text = text.strip("\n")
    for at, character in enumerate(text):
        piece += character
        decimal = character == "." and text[at - 1 : at].isdigit() and text[at + 1 : at + 2].isdigit()
        if character in _CLAUSES and not decimal:
            pieces.append(piece)
            piece = ""
    return _spoken([*pieces, piece], _CLAUSES)


METHODS: dict[str, Callable[[str], str]] = {
    "cut0": whole,
    "cut1": four_clauses,
    "cut2": fifty_characters,
    "cut3": chinese_stops,
    "cut4": english_stops,
    "cut5": every_clause,
}
"""Name of the method -> the text with a line break at each cut."""


def _joined(lines: list[str]) -> list[str]:
    """`lines`, each long enough; a rest that is too short joins the last one."""
    if len(lines) < 2:
        return lines
    joined, line = [], ""
    for part in lines:
        line += part
        if len(line) >= SHORTEST:
            joined.append(line)
            line = ""
    if line and joined:
        joined[-1] += line
    elif line:
        joined.append(line)
    return joined


def _shortened(line: str) -> list[str]:
    """An overlong line, cut at splitters into parts of at most LONGEST characters, where they allow it."""
    parts, part = [], ""
    for piece in _AT_SPLITTER.split(line):
        if part and len(part) + len(piece) > LONGEST:
            parts.append(part)
            part = ""
        part += piece
    return [*parts, part] if part else parts
