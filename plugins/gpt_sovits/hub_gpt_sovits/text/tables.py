"""The pronunciation tables of a release's `GPT_SoVITS/text` folder, read when they are first needed.

They are large, are the family's own work, and are not part of this package; without them the dictionaries of the
Python packages serve.
"""

from __future__ import annotations

import ast
import json
import pickle
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

Pronunciation = list[str]
"""Phones of a word: ARPAbet for English, pinyin with tones for Chinese."""

CMU_FIRST_LINE = 57
"""The first line of words in cmudict.rep; its licence and comments come before."""

T = TypeVar("T")


class Tables:
    """The tables of `folder`; without a folder all are empty. Safe to use from several threads."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._read: dict[str, Any] = {}
        self._lock = threading.Lock()

    def _once(self, name: str, read: Callable[[], T]) -> T:
        with self._lock:
            if name not in self._read:
                self._read[name] = read()
            table: T = self._read[name]
            return table

    def _path(self, name: str) -> Path | None:
        """The file of a table; those of phrases are in the folder's `g2pw`."""
        paths = (self.folder / name, self.folder / "g2pw" / name) if self.folder else ()
        return next((path for path in paths if path.is_file()), None)

    def _lines(self, name: str) -> Iterator[str]:
        path = self._path(name)
        if path is not None:
            yield from path.read_text(encoding="utf-8").splitlines()

    @property
    def phrases(self) -> dict[str, Pronunciation]:
        """Chinese phrases and characters with fixed readings: `polyphonic.rep`, then `polyphonic-fix.rep`."""
        return self._once("phrases", self._phrases)

    def _phrases(self) -> dict[str, Pronunciation]:
        table = {}
        for name in ("polyphonic.rep", "polyphonic-fix.rep"):
            for line in self._lines(name):
                phrase, _, readings = line.partition(":")
                if readings:
                    table[phrase.strip()] = [str(reading) for reading in ast.literal_eval(readings.strip())]
        return table

    @property
    def english(self) -> dict[str, Pronunciation]:
        """English words in lower case. `engdict-hot.rep` wins over `cmudict.rep`, that over `cmudict-fast.rep`."""
        return self._once("english", self._english)

    def _english(self) -> dict[str, Pronunciation]:
        table: dict[str, Pronunciation] = {}
        for line in list(self._lines("cmudict.rep"))[CMU_FIRST_LINE - 1 :]:
            word, _, phones = line.strip().partition("  ")
            table[word.lower()] = phones.split(" ")
        for line in self._lines("cmudict-fast.rep"):
            word, *pronunciation = line.strip().split(" ")
            table.setdefault(word.lower(), pronunciation)
        for line in self._lines("engdict-hot.rep"):
            word, *pronunciation = line.strip().split(" ")
            table[word.lower()] = pronunciation
        return table

    @property
    def names(self) -> dict[str, Pronunciation]:
        """English names in lower case, for words with a capital: `namedict.json` or `namedict_cache.pickle`."""
        return self._once("names", self._names)

    def _names(self) -> dict[str, Pronunciation]:
        if self.folder is None:
            return {}
        written, pickled = self.folder / "namedict.json", self.folder / "namedict_cache.pickle"
        found: dict[str, list[Pronunciation]] = {}
        if written.is_file():
            found = json.loads(written.read_text(encoding="utf-8"))
        elif pickled.is_file():
            with pickled.open("rb") as file:
                found = _PlainUnpickler(file).load()
        return {name: pronunciations[0] for name, pronunciations in found.items()}


class _PlainUnpickler(pickle.Unpickler):
    """Reads dictionaries, lists and strings, and refuses anything that would import or call something."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"a table of pronunciations does not need {module}.{name}")
