"""VoiceFinder: which folder holds the voice of an id, found without listing the others."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from hub.service.disk.ids import folded, is_id


class VoiceFinder:
    """The library's own folder and further ones, which are only read; an id in several is the first one's.

    Ids are in Unicode's composed form, whichever form the folder's name has. All methods raise OSError.
    """

    def __init__(self, own: Path, further: Sequence[Path] = ()) -> None:
        self.own = own
        self._folders = (own, *further)

    def all(self) -> dict[str, Path]:
        """Id -> folder of every voice, by id. Lists the folders."""
        found: dict[str, Path] = {}
        for folder in self._folders:
            found = {**_listed(folder), **found}
        return dict(sorted(found.items()))

    def find(self, id: str) -> Path | None:
        """The folder of this id. A folder is listed only where its names may be written in other ways."""
        id = unicodedata.normalize("NFC", id)
        if not is_id(id):
            return self.all().get(id)
        for folder in self._folders:
            path = folder / id if _tells_case(folder) else _listed(folder).get(id)
            if path is None or not path.is_dir():
                path = None if id.isascii() else _listed(folder).get(id)
            if path is not None:
                return path
        return None

    def like(self, id: str, besides: str | None = None) -> str | None:
        """An id that is this one, or differs by case or by its accents' form only; `besides` does not count."""
        wanted = folded(id)
        return next((one for one in self.all() if folded(one) == wanted and one != besides), None)


def _listed(folder: Path) -> dict[str, Path]:
    """Id -> folder. Of two names that are one in composed form, the composed one counts."""
    try:
        entries = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except FileNotFoundError:
        return {}
    found: dict[str, Path] = {}
    for name in entries:
        id = unicodedata.normalize("NFC", name)
        if not name.startswith(".") and (id not in found or id == name):
            found[id] = folder / name
    return found


def _tells_case(folder: Path) -> bool:
    """Whether the file system takes `voices` and `VOICES` for two folders; macOS and Windows do not."""
    other = folder.with_name(folder.name.swapcase())
    return other == folder or not other.exists() or not other.samefile(folder)
