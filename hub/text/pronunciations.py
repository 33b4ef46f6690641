"""Pronunciations: words that are written differently for a model, so that it says them right."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

from hub.contract.errors import InvalidRequest
from hub.text.pauses import without_pauses
from hub.text.scripts import script_of

LONGEST_WORD, LONGEST_SPELLING = 200, 1000
"""Characters of a key and of a value."""

_UNSPACED = {"han", "kana", "hangul", "bopomofo", "thai", "lao", "khmer", "myanmar", "tibetan", "yi"}
"""Scripts that set no space between words, or write particles onto them: there a word is found anywhere."""

_PREFIX = 2
"""Characters that tell which lengths of words may follow."""


class Pronunciations:
    """Finds the words of a dictionary in texts. Longer words come before shorter ones.

    A word in small letters is found in any case, a word with capitals only as it is. In scripts with spaces it is
    found as a whole word; in Chinese, Japanese, Korean, Thai and the like anywhere. `/.../` is a spelling in phonemes.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        """Raises InvalidRequest for an entry that cannot be used."""
        self.phonemes = ""  # a word that is spelled in phonemes; "" if none is
        self._exact: dict[str, str] = {}
        self._folded: dict[str, str] = {}
        lengths: dict[str, set[int]] = {}
        for word, spelling in entries.items():
            check_entry(word, spelling)
            if is_phonemes(spelling):
                self.phonemes = word
            for form in {word, *(unicodedata.normalize(kind, word) for kind in ("NFC", "NFD"))}:
                folded = _folded(form)
                known, key = (self._folded, folded) if word == word.lower() else (self._exact, form)
                known[key] = spelling
                lengths.setdefault(folded[:_PREFIX], set()).add(len(form))
        self._lengths = {prefix: sorted(found, reverse=True) for prefix, found in lengths.items()}

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, spelling) of each word in `text`, in order; none overlaps another."""
        if not self._lengths:
            return
        folded, at = _folded(text), 0
        while at < len(text):
            found = self._word_at(text, folded, at)
            if found is None:
                at += 1
            else:
                length, spelling = found
                yield at, at + length, spelling
                at += length

    def _word_at(self, text: str, folded: str, at: int) -> tuple[int, str] | None:
        for prefix in range(_PREFIX, 0, -1):
            for length in self._lengths.get(folded[at : at + prefix], ()):
                end = at + length
                spelling = self._exact.get(text[at:end])
                if spelling is None:
                    spelling = self._folded.get(folded[at:end])
                if spelling is not None and _is_word_edge(text, at - 1, at) and _is_word_edge(text, end, end - 1):
                    return length, spelling
        return None


NONE = Pronunciations({})


def check_entry(word: str, spelling: str) -> None:
    """Raises InvalidRequest if `word` cannot be spelled so."""
    if not word.strip() or len(word) > LONGEST_WORD:
        raise InvalidRequest(f"the word of a pronunciation has 1 to {LONGEST_WORD} characters, not {word[:40]!r}")
    if len(spelling) > LONGEST_SPELLING:
        raise InvalidRequest(
            f"the pronunciation of {word[:40]!r} has {len(spelling)} characters; {LONGEST_SPELLING} are the most"
        )
    if without_pauses(spelling) != spelling:
        raise InvalidRequest(f"the pronunciation of {word[:40]!r} has a pause in it; pauses belong into the text")


def is_phonemes(spelling: str) -> bool:
    """Whether a spelling is `/phonemes/`, for models that read them."""
    return len(spelling) > 2 and spelling[0] == spelling[-1] == "/"


def _folded(text: str) -> str:
    """`text` without case, character by character, so that positions stay."""
    if text.isascii():
        return text.lower()
    return "".join(small if len(small := char.casefold()) == 1 else char for char in text)


def _is_word_edge(text: str, outside: int, inside: int) -> bool:
    """Whether a word that ends at `inside` is not continued at `outside`."""
    if not 0 <= outside < len(text) or not _makes_words(text[inside]):
        return True
    return not _makes_words(text[outside])


def _makes_words(char: str) -> bool:
    if char == "_" or unicodedata.category(char)[0] == "M":
        return True
    return char.isalnum() and script_of(char) not in _UNSPACED
