"""Pronunciations: words that are respelled for a model, so that it says them right."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

from hub.contract.errors import InvalidRequest
from hub.text.pauses import without_pauses
from hub.text.scripts import script_of

LONGEST_WORD, LONGEST_SPELLING = 200, 1000
"""The most characters of a word and of its spelling."""

_UNSPACED = {"han", "kana", "hangul", "bopomofo", "thai", "lao", "khmer", "myanmar", "tibetan", "yi"}
"""Scripts without spaces between words, or with particles attached to words: there a word is found anywhere."""

_PREFIX = 2
"""Characters by which words are looked up, to find which lengths to compare."""


class Pronunciations:
    """Finds the words of a dictionary in texts. Longer words come before shorter ones.

    A word in lower case matches any case, a word with capitals only itself. In scripts with spaces only whole words
    match; in Chinese, Japanese, Korean, Thai and the like a word matches anywhere. `/.../` is a spelling in phonemes.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        """Raises InvalidRequest for an invalid entry."""
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
        """Yield (start, end, spelling) of each word in `text`, in order and without overlaps."""
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
    """Raise InvalidRequest if the entry is invalid."""
    if not word.strip() or len(word) > LONGEST_WORD:
        raise InvalidRequest(
            f"invalid word {word[:40]!r} in a pronunciation; a word has 1 to {LONGEST_WORD} characters"
        )
    if len(spelling) > LONGEST_SPELLING:
        raise InvalidRequest(
            f"the pronunciation of {word[:40]!r} has {len(spelling)} characters; the limit is {LONGEST_SPELLING}"
        )
    if without_pauses(spelling) != spelling:
        raise InvalidRequest(f"the pronunciation of {word[:40]!r} contains a pause; pauses belong in the text")


def is_phonemes(spelling: str) -> bool:
    """Return True if a spelling is `/phonemes/`, for models that read them."""
    return len(spelling) > 2 and spelling[0] == spelling[-1] == "/"


def _folded(text: str) -> str:
    """Fold the case of `text`, character by character, so that positions stay the same."""
    if text.isascii():
        return text.lower()
    return "".join(small if len(small := char.casefold()) == 1 else char for char in text)


def _is_word_edge(text: str, outside: int, inside: int) -> bool:
    """Return True if a word that ends at `inside` does not continue at `outside`."""
    if not 0 <= outside < len(text) or not _makes_words(text[inside]):
        return True
    return not _makes_words(text[outside])


def _makes_words(char: str) -> bool:
    if char == "_" or unicodedata.category(char)[0] == "M":
        return True
    return char.isalnum() and script_of(char) not in _UNSPACED
