"""English: words -> ARPAbet phones, from the release's dictionaries, with rules and a small network for other words.

Looked up in this order: single letters, homographs by part of speech, the dictionary, names for words with a capital.
Words of up to three letters are then spelled, a possessive is taken off, compounds are split, and g2p_en's network
reads the rest.
"""

from __future__ import annotations

import re
import threading
import warnings
from typing import Any

from nltk.tokenize import TweetTokenizer

from hub.contract.errors import BackendUnavailable
from hub_gpt_sovits.text.corpora import nothing_fetched
from hub_gpt_sovits.text.tables import Pronunciation, Tables
from hub_gpt_sovits.tokenizer import symbol_ids

_WRONG = ("ae", "ai", "ar", "ios", "hud", "os")
"""Entries that the dictionary reads as words, though they are said as letters."""

_HOMOGRAPHS: dict[str, tuple[Pronunciation, Pronunciation, str]] = {
    "read": (["R", "IY1", "D"], ["R", "EH1", "D"], "VBP"),
    "complex": (["K", "AH0", "M", "P", "L", "EH1", "K", "S"], ["K", "AA1", "M", "P", "L", "EH0", "K", "S"], "JJ"),
}
"""Word -> its phones as this part of speech, and otherwise. They win over those of g2p_en."""

_VERB_BEFORE = {
    "to", "will", "would", "can", "could", "shall", "should", "may", "might", "must", "i", "you", "we", "they",
    "who",
}  # fmt: skip
_UNVOICED = frozenset(("P", "T", "K", "F", "TH", "HH"))
_HISSING = frozenset(("S", "Z", "SH", "ZH", "CH", "JH"))
_UNSAID = frozenset((" ", "<pad>", "UW", "</s>", "<s>"))
_LETTERS = {
    "a": "EY1", "b": "B IY1", "c": "S IY1", "d": "D IY1", "e": "IY1", "f": "EH1 F", "g": "JH IY1", "h": "EY1 CH",
    "i": "AY1", "j": "JH EY1", "k": "K EY1", "l": "EH1 L", "m": "EH1 M", "n": "EH1 N", "o": "OW1", "p": "P IY1",
    "q": "K Y UW1", "r": "AA1 R", "s": "EH1 S", "t": "T IY1", "u": "Y UW1", "v": "V IY1",
    "w": "D AH1 B AH0 L Y UW0", "x": "EH1 K S", "y": "W AY1", "z": "Z IY1",
}  # fmt: skip


class English:
    """Phones of normalised English. The packages and dictionaries are loaded with the first text."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._words: dict[str, Pronunciation] = {}
        self._homographs: dict[str, tuple[Pronunciation, Pronunciation, str]] = {}
        self._network: Any = None
        self._tagger: Any = None
        self._lock = threading.Lock()

    @property
    def tagged(self) -> bool:
        """True with nltk's tagger; without its data the word before a homograph decides how it is said."""
        self._load()
        return self._tagger is not None

    def phones(self, text: str) -> list[str]:
        """The phones of `text`; fewer than four get a pause in front."""
        self._load()
        found: list[str] = []
        words = TweetTokenizer().tokenize(text)
        tags = self._tags(words)
        for word, tag in zip(words, tags, strict=True):
            found += self._word(word, tag)
        known = symbol_ids("v2")
        said = [{"'": "-", "<unk>": "UNK"}.get(phone, phone) for phone in found if phone not in _UNSAID]
        said = [phone for phone in said if phone in known]
        return said if len(said) >= 4 else [",", *said]

    def _word(self, word: str, tag: str) -> Pronunciation:
        lower = word.lower()
        if not re.search("[a-z]", lower):
            return [lower]
        if len(lower) == 1:
            return ["EY1"] if word == "A" else self._letter(lower)
        if lower in self._homographs:
            as_tag, otherwise, wanted = self._homographs[lower]
            return as_tag if tag.startswith(wanted) or (tag and wanted.startswith(tag)) else otherwise
        return self._looked_up(word)

    def _looked_up(self, word: str) -> Pronunciation:
        lower = word.lower()
        if len(lower) > 1 and lower in self._words:
            return self._words[lower]
        if word.istitle() and lower in self._tables.names:
            return self._tables.names[lower]
        if len(lower) <= 3:
            letters = (["EY1"] if letter == "a" else self._letter(letter) for letter in lower)
            return [phone for letter in letters for phone in letter]
        if re.fullmatch("[a-z]+'s", lower):
            return self._possessive(self._looked_up(lower[:-2]))
        parts = _segment(lower)
        if len(parts) == 1:
            return [str(phone) for phone in self._network.predict(lower)]
        return [phone for part in parts for phone in self._looked_up(part)]

    def _letter(self, letter: str) -> Pronunciation:
        return self._words.get(letter) or _LETTERS.get(letter, letter).split(" ")

    def _possessive(self, phones: Pronunciation) -> Pronunciation:
        if phones[-1] in _UNVOICED:
            return [*phones, "S"]
        return [*phones, "AH0", "Z"] if phones[-1] in _HISSING else [*phones, "Z"]

    def _tags(self, words: list[str]) -> list[str]:
        if self._tagger is not None:
            return [tag for _, tag in self._tagger(words)]
        before = ["", *(word.lower() for word in words)]
        return ["VBP" if word in _VERB_BEFORE else "NN" for word in before[: len(words)]]

    def _load(self) -> None:
        with self._lock:
            if self._network is not None:
                return
            network, homographs = _network()
            self._homographs = {**homographs, **_HOMOGRAPHS}
            words = dict(self._tables.english or _nltk_words())
            for word in _WRONG:
                words.pop(word, None)
            self._words, self._tagger, self._network = words, _tagger(), network


def _network() -> tuple[Any, dict[str, tuple[Pronunciation, Pronunciation, str]]]:
    """g2p_en's network, without the corpora that it would fetch, and its homographs. Raises BackendUnavailable."""
    try:
        with nothing_fetched():
            import g2p_en.g2p as package
    except ImportError as error:
        raise BackendUnavailable(f"English needs the package {error.name}: pip install tts-hub-gpt-sovits") from None
    corpus = package.cmudict
    package.cmudict = _NoWords()
    try:
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):  # it leaves a file open
            network = package.G2p()
    finally:
        package.cmudict = corpus
    return network, network.homograph2features


class _NoWords:
    def dict(self) -> dict[str, Any]:
        return {}


def _nltk_words() -> dict[str, Pronunciation]:
    """The CMU dictionary of nltk's data, if it is on this machine."""
    from nltk.corpus import cmudict

    try:
        return {word: phones[0] for word, phones in cmudict.dict().items()}
    except LookupError:
        return {}


def _tagger() -> Any:
    from nltk import pos_tag

    try:
        pos_tag(["word"])
    except LookupError:
        return None
    return pos_tag


_segmenter_lock = threading.Lock()


def _segment(word: str) -> list[str]:
    """The words that a compound is made of."""
    import wordsegment

    with _segmenter_lock:
        if not wordsegment.UNIGRAMS:
            wordsegment.load()
    return list(wordsegment.segment(word))
