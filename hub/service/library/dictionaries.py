"""DictionaryStore: the pronunciation dictionaries that the hub keeps, `dictionaries/<id>.json` in the data folder."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from hub.contract.errors import HubError, InvalidRequest, NotFound, few
from hub.contract.speech import SpeechRequest
from hub.service.disk.documents import Documents
from hub.service.disk.folder import Damaged, data_folder
from hub.service.disk.ids import check_id
from hub.settings import Settings
from hub.text.pronunciations import Pronunciations

log = logging.getLogger("hub.dictionaries")

MOST_ENTRIES = 20_000


class Dictionary(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Words, each with a spelling that makes a model say it correctly; `/.../` are phonemes."""

    id: str
    entries: Annotated[dict[str, str], Meta(description="word -> spelling")] = {}
    description: str = ""


class DictionaryStore:
    """The stored dictionaries. All methods read or write files: call them in a thread."""

    def __init__(self, folder: Path) -> None:
        self._documents = Documents(folder, "dictionary")
        self._read: dict[str, tuple[tuple[int, int], Dictionary, Pronunciations]] = {}

    @classmethod
    def build(cls, settings: Settings) -> DictionaryStore:
        """The store below the settings' data folder. Touches no file."""
        return cls(data_folder(settings) / "dictionaries")

    def list(self) -> Sequence[Dictionary]:
        """All dictionaries that can be used, sorted by id. Logs the damaged ones."""
        found = []
        for id, path in self._documents.paths().items():
            try:
                found.append(self._load(id, path)[0])
            except Damaged as damage:
                log.warning("dictionary %s cannot be used: %s", id, damage)
            except FileNotFoundError:
                continue
        return found

    def get(self, id: str) -> Dictionary:
        """The dictionary of this id. Raises NotFound, also for a damaged one, and says what is wrong with it."""
        return self._find(id)[0]

    def put(self, dictionary: Dictionary) -> Dictionary:
        """Store a dictionary, replacing the one of its id. Raises InvalidRequest, StorageFailed."""
        dictionary = msgspec.structs.replace(dictionary, id=check_id(dictionary.id, "dictionary"))
        _check(dictionary)
        facts = {name: value for name, value in msgspec.to_builtins(dictionary).items() if name != "id"}
        self._documents.write(dictionary.id, msgspec.json.format(msgspec.json.encode(facts)) + b"\n")
        return dictionary

    def delete(self, id: str) -> None:
        """Remove a dictionary. Raises NotFound, StorageFailed."""
        self._documents.delete(id)

    def pronunciations(self, request: SpeechRequest) -> Pronunciations:
        """The request's words, over those of the dictionary that it names. Raises NotFound, InvalidRequest."""
        if request.dictionary is None:
            return Pronunciations(request.pronunciations)
        dictionary, ready = self._find(request.dictionary)
        if not request.pronunciations:
            return ready
        return Pronunciations({**dictionary.entries, **request.pronunciations})

    def _find(self, id: str) -> tuple[Dictionary, Pronunciations]:
        id = unicodedata.normalize("NFC", id)
        paths = self._documents.paths()
        try:
            if id in paths:
                return self._load(id, paths[id])
        except Damaged as damage:
            raise NotFound(f"dictionary {id[:100]!r} cannot be used: {damage}") from None
        except FileNotFoundError:
            pass
        raise NotFound(f"there is no dictionary {id[:100]!r}; there are: {few(paths)}", dictionaries=list(paths)[:100])

    def _load(self, id: str, path: Path) -> tuple[Dictionary, Pronunciations]:
        """Read a dictionary, again only if its file has changed. Raises Damaged, FileNotFoundError."""
        state = path.stat()
        stamp = state.st_mtime_ns, state.st_size
        known = self._read.get(id)
        if known is not None and known[0] == stamp:
            return known[1], known[2]
        try:
            dictionary = msgspec.convert(
                {**msgspec.json.decode(self._documents.read(path), type=dict), "id": id}, Dictionary
            )
            ready = _check(dictionary)
        except (msgspec.DecodeError, RecursionError) as error:
            raise Damaged(str(error)) from None
        except HubError as error:
            raise Damaged(error.message) from None
        self._read[id] = stamp, dictionary, ready
        return dictionary, ready


def _check(dictionary: Dictionary) -> Pronunciations:
    if len(dictionary.entries) > MOST_ENTRIES:
        raise InvalidRequest(f"the dictionary has {len(dictionary.entries)} words; the limit is {MOST_ENTRIES}")
    return Pronunciations(dictionary.entries)
