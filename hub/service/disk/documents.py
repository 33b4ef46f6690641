"""Small files, each found by its id: scenes and dictionaries. People may also make, change and remove them by hand.

The hub looks at a file whenever it needs it, so a change takes effect with the next request.
"""

from __future__ import annotations

import logging
import unicodedata
from pathlib import Path

from hub.contract.errors import NotFound
from hub.service.disk.folder import Damaged, exclusive, remove, storing, write_file
from hub.service.disk.ids import check_id, is_id

log = logging.getLogger("hub.documents")

LONGEST = 4 * 1024 * 1024
"""Bytes of the largest file that is read."""


class Documents:
    """The files `<id><suffix>` of one folder; of several, the one with the first of `suffixes`. All methods block."""

    def __init__(self, folder: Path, what: str, suffixes: tuple[str, ...] = (".json",)) -> None:
        self.folder = folder
        self._what = what
        self._suffixes = suffixes

    def paths(self) -> dict[str, Path]:
        """The files by id, sorted; none if there is no folder. Raises StorageFailed."""
        found: dict[str, Path] = {}
        with storing(f"the {self._what} folder"):
            try:
                files = list(self.folder.iterdir())
            except FileNotFoundError:
                return {}
        for suffix in reversed(self._suffixes):
            for path in files:
                if path.suffix.lower() == suffix and not path.name.startswith(".") and is_id(path.stem):
                    found[unicodedata.normalize("NFC", path.stem)] = path
        return dict(sorted(found.items()))

    def read(self, path: Path) -> str:
        """The text of a file. Raises Damaged, or FileNotFoundError if the file has been removed meanwhile."""
        try:
            if not path.is_file():
                raise FileNotFoundError(path)
            with open(path, "rb") as file:
                data = file.read(LONGEST + 1)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise Damaged(f"it cannot be read: {error.strerror}") from error
        if len(data) > LONGEST:
            raise Damaged(f"it has more than {LONGEST} bytes")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Damaged("it is not UTF-8 text") from None

    def write(self, id: str, data: bytes, *, suffix: str = ".json") -> None:
        """Write the file of this id in one step. Raises InvalidRequest for an invalid id, StorageFailed."""
        id = check_id(id, self._what)
        with storing(f"the {self._what} {id!r}"), exclusive(self.folder):
            write_file(self.folder / f"{id}{suffix}", data)

    def delete(self, id: str) -> None:
        """Remove every file of this id. Raises NotFound, StorageFailed."""
        id = unicodedata.normalize("NFC", id)
        if id not in self.paths():
            raise NotFound(f"there is no {self._what} {id[:100]!r}")
        with storing(f"the {self._what} {id!r}"), exclusive(self.folder):
            while (path := self.paths().get(id)) is not None:
                remove(path)
