"""The script, and the most likely language, of each part of a text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

COMMON = "common"
"""The script of a text without letters."""


class ScriptRun(NamedTuple):
    """`text[start:end]` is in `script`: `latin`, `han`, `kana`, `hangul`, `cyrillic`, ... (Unicode's names)."""

    script: str
    start: int
    end: int


class LanguageRun(NamedTuple):
    """`text[start:end]` is most likely in `language`, a BCP 47 tag; empty if the script does not determine it."""

    language: str
    start: int
    end: int


# "latin small letter a", "old italic letter a", "ethiopic syllable ha": the script is the part before the kind
_KIND = re.compile(r" (?:capital|small|letter|syllable|vowel|sign|ligature|syllabics|hieroglyph|character|ideograph)\b")
_FAMILY = {
    "cjk": "han",
    "ideographic": "han",
    "hiragana": "kana",
    "katakana": "kana",
    "katakana-hiragana": "kana",
    "hangul": "hangul",
    "modifier": COMMON,
}

_LANGUAGE = {
    "kana": "ja",
    "hangul": "ko",
    "thai": "th",
    "greek": "el",
    "hebrew": "he",
    "armenian": "hy",
    "georgian": "ka",
    "khmer": "km",
    "lao": "lo",
    "myanmar": "my",
    "tamil": "ta",
    "telugu": "te",
    "kannada": "kn",
    "malayalam": "ml",
    "gujarati": "gu",
    "gurmukhi": "pa",
    "sinhala": "si",
    "tibetan": "bo",
}
"""Scripts that (nearly) only one living language uses."""


@lru_cache(maxsize=4096)
def script_of(character: str) -> str:
    """Return the script of one character; `common` for digits, punctuation, spaces, symbols and marks."""
    if unicodedata.category(character)[0] != "L" and character != "〇":
        return COMMON
    plain = unicodedata.normalize("NFKC", character)[0]  # full-width, half-width and mathematical letters, ligatures
    name = unicodedata.name(plain, "").lower()
    if not name:
        return COMMON
    kind = _KIND.search(name)
    script = name[: kind.start()] if kind else name.split()[0]
    return _FAMILY.get(script.split()[0], script)


def script_runs(text: str) -> list[ScriptRun]:
    """Return runs of one script that cover `text` without a gap.

    Characters common to all scripts join the run before them, or at the beginning the run after them.
    """
    runs: list[ScriptRun] = []
    at = 0
    for script, characters in groupby(text, script_of):
        start, at = at, at + sum(1 for _ in characters)
        if runs and script in (COMMON, runs[-1].script):
            runs[-1] = runs[-1]._replace(end=at)
        elif runs and runs[-1].script == COMMON:
            runs[-1] = ScriptRun(script, runs[-1].start, at)
        else:
            runs.append(ScriptRun(script, start, at))
    return runs


def language_runs(text: str, default: str = "") -> list[LanguageRun]:
    """Return runs of one language that cover `text` without a gap, as far as scripts determine it.

    Han characters are Japanese if the text has kana, Korean if it has Hangul and `default` is Korean, else Chinese.
    Scripts of many languages (Latin, Cyrillic, Arabic, Devanagari) give `default`.
    """
    scripts = script_runs(text)
    names = {run.script for run in scripts}
    han = "ja" if "kana" in names or default.startswith("ja") else "zh"
    if "hangul" in names and default.startswith("ko"):
        han = "ko"
    return list(_merged(LanguageRun(_language(run.script, han, default), run.start, run.end) for run in scripts))


def _language(script: str, han: str, default: str) -> str:
    if script == "han":
        return han
    return _LANGUAGE.get(script, default)


def _merged(runs: Iterable[LanguageRun]) -> Iterator[LanguageRun]:
    for language, group in groupby(runs, lambda run: run.language):
        members = list(group)
        yield LanguageRun(language, members[0].start, members[-1].end)
