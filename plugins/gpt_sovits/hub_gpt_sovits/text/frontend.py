"""The text front end: from a request's text to phone ids."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hub.contract.errors import InvalidRequest
from hub.contract.event import Span
from hub.text.positions import compared
from hub_gpt_sovits.text.cut import METHODS, lines_of
from hub_gpt_sovits.text.languages import LANGUAGES, LanguageSplitter
from hub_gpt_sovits.text.tables import Tables
from hub_gpt_sovits.tokenizer import ids_of

SHORTEST = 6
"""The fewest phones of a line; a shorter line is read again with a pause in front of it."""

_PAUSES = {"￥": "SP2", "^": "SP3"}
"""Signs for a pause in a Chinese text -> the phone that its commas then become."""

T = TypeVar("T")


@dataclass(frozen=True)
class Piece:
    """One line that is spoken in one go. `span` is its part of the request's text."""

    text: str
    span: Span | None


@dataclass(frozen=True)
class Run:
    """The phones of one language run of a piece: `zh`, `yue`, `ja`, `ko` or `en`.

    `norm` is its normalised text; for zh and yue `word2ph` counts the phones of each of its characters.
    """

    language: str
    ids: tuple[int, ...]
    word2ph: tuple[int, ...] | None
    norm: str


class TextFrontend:
    """Reads texts. `data` is the text folder of a release, `g2pw` its G2PWModel, `bert` the folder of its Chinese BERT,
    `identification` its fastText model, which tells languages apart, `open_jtalk` the dictionary of Japanese.

    All of them may be missing. One object serves all threads, and loads the parts for a language with its first text.
    """

    def __init__(
        self,
        data: Path | None = None,
        g2pw: Path | None = None,
        bert: Path | None = None,
        identification: Path | None = None,
        open_jtalk: Path | None = None,
    ) -> None:
        self.tables = Tables(data)
        self._splitter = LanguageSplitter(identification)
        self._g2pw = (g2pw, bert) if g2pw and bert and g2pw.is_dir() else None
        self._open_jtalk = open_jtalk
        self._made: dict[str, object] = {}
        self._lock = threading.Lock()

    @property
    def reads_in_context(self) -> bool:
        """True if G2PW reads the Chinese characters that have several readings."""
        return self._g2pw is not None

    def cut(self, text: str, language: str, method: str) -> list[Piece]:
        """The pieces of `text`. Raises EmptyText, UnspeakableText, and InvalidRequest for an unknown method."""
        if method not in METHODS:
            raise InvalidRequest(f"there is no text_split_method {method!r}; there are: {', '.join(METHODS)}")
        lines = lines_of(text, language, method)
        positions = compared(text, "".join(lines)).positions
        pieces, start = [], 0
        for line in lines:
            end = start + len(line)
            pieces.append(Piece(line, positions.back((start, end))))
            start = end
        return pieces

    def read(self, text: str, language: str, version: str) -> tuple[Run, ...]:
        """The runs of `text` for `text_lang` `language`; `version` is `v1` or `v2` (all later ones).

        Raises InvalidRequest for a language that the version does not know, UnspeakableText for a character without a
        reading, BackendUnavailable where a package is missing.
        """
        if language not in LANGUAGES[version]:
            raise InvalidRequest(f"there is no language {language!r}; there are: {', '.join(LANGUAGES[version])}")
        runs = self._runs(text, language, version)
        if sum(len(run.ids) for run in runs) < SHORTEST:
            runs = self._runs("." + text, language, version)
        return runs

    def _runs(self, text: str, language: str, version: str) -> tuple[Run, ...]:
        while "  " in text:
            text = text.replace("  ", " ")
        return tuple(self.run(part.text, part.language, version) for part in self._splitter.runs(text, language))

    def run(self, text: str, language: str, version: str) -> Run:
        """The phones of `text`, all of it in one language."""
        if version == "v1" and language not in ("zh", "ja", "en"):
            language, text = "en", " "  # the first version reads these as silence
        if language in ("zh", "yue"):
            phones, counts, norm = self._by_character(text, language, version)
            return Run(language, ids_of(phones, version), tuple(counts), norm)
        phones, norm = self._by_word(text, language)
        return Run(language, ids_of(phones, version), None, norm)

    def _by_character(self, text: str, language: str, version: str) -> tuple[list[str], list[int], str]:
        from hub_gpt_sovits.text import yue, zh_normal

        if language == "yue":
            norm = zh_normal.normal_cantonese(text)
            return *yue.phones(norm), norm
        sign = next((sign for sign in _PAUSES if sign in text), None)
        norm = zh_normal.normal_mandarin(text if sign is None else text.replace(sign, ","))
        phones, counts = self._mandarin().phones(norm, version)
        if sign is not None:
            phones = [_PAUSES[sign] if phone == "," else phone for phone in phones]
        return phones, counts, norm

    def _by_word(self, text: str, language: str) -> tuple[list[str], str]:
        if language == "ja":
            from hub_gpt_sovits.text import ja

            norm = ja.normalized(text)
            return self._once("ja", lambda: ja.Japanese(self.tables.folder, self._open_jtalk)).phones(norm), norm
        if language == "ko":
            from hub_gpt_sovits.text import ko

            return ko.phones(text), text
        from hub_gpt_sovits.text import en, en_normal

        norm = en_normal.normalized(text)
        return self._once("en", lambda: en.English(self.tables)).phones(norm), norm

    def _mandarin(self):  # type: ignore[no-untyped-def]
        from hub_gpt_sovits.text.zh import Mandarin

        def make() -> Mandarin:
            if self._g2pw is None:
                return Mandarin(None, self.tables)
            from hub_gpt_sovits.text.g2pw import G2PW

            return Mandarin(G2PW(*self._g2pw), self.tables)

        return self._once("zh", make)

    def _once(self, name: str, make: Callable[[], T]) -> T:
        with self._lock:
            if name not in self._made:
                self._made[name] = make()
            made: T = self._made[name]  # type: ignore[assignment]
            return made
