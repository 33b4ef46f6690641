"""VoiceFinder: find the folder of a voice by its id, without listing the others."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from hub.service.disk.ids import folded, is_id


class VoiceFinder:
    """Looks in the library's own folder and in further ones, which are only read; the first that has the id counts.

    Ids are in Unicode's composed form, whichever form the folder's name has. All methods raise OSError.
    """

    def __init__(self, own: Path, further: Sequence[Path] = ()) -> None:
        self.own = own
        self._folders = (own, *further)

    def all(self) -> dict[str, Path]:
        """The folders of all voices by id, sorted. Lists the folders."""
        found: dict[str, Path] = {}
        for folder in self._folders:
            found = {**_listed(folder), **found}
        return dict(sorted(found.items()))

    def find(self, id: str) -> Path | None:
        """The folder of this id, if any. Lists folders only where a name may be written in more than one way."""
        id = unicodedata.normalize("NFC", id)
        if not is_id(id):
            return self.all().get(id)
        for folder in self._folders:
            path = folder / id if _is_case_sensitive(folder) else _listed(folder).get(id)
            if path is None or not path.is_dir():
                path = None if id.isascii() else _listed(folder).get(id)
            if path is not None:
                return path
        return None

    def like(self, id: str, besides: str | None = None) -> str | None:
        """An existing id that equals this one, or differs only in case or its accents' form; `besides` is ignored."""
        wanted = folded(id)
        return next((one for one in self.all() if folded(one) == wanted and one != besides), None)


def _listed(folder: Path) -> dict[str, Path]:
    """The voices' folders by id. Of two names with the same composed form, the composed one counts."""
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


def _is_case_sensitive(folder: Path) -> bool:
    """True if `voices` and `VOICES` are two folders on this file system, unlike on those of macOS and Windows."""
    other = folder.with_name(folder.name.swapcase())
    return other == folder or not other.exists() or not other.samefile(folder)
