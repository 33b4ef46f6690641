"""Unpacking archives that a checkpoint is published as: only plain files, and only inside the folder."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from hub.service.checkpoints.transfer import PullFailed
from hub.service.disk.sizes import show_size

Member = tuple[str, int, Callable[[], IO[bytes] | None]]
"""Its path in the archive, its size in bytes, and what opens it."""


DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, ValueError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
"""What the packages raise for archives that are cut off, changed, encrypted, or packed in a way that is unknown."""


def is_archive(name: str) -> bool:
    """Whether a file of this name is unpacked: zip, and tar packed or plain."""
    return name.endswith((".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"))


def unpack(archive: Path) -> dict[str, int]:
    """Put what is in `archive` beside it, each file in one step, in place of what is there -> sizes by path.

    Links and devices are left out. Raises PullFailed for a damaged archive, a name that leads out of the folder, and
    more than the disk holds; OSError of the disk. Then nothing was put in place.
    """
    folder, found = archive.parent, dict[str, int]()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".new-") as scratch:
        try:
            for path, size, open_member in _members(archive):
                _check(archive, path, sum(found.values()) + size)
                unpacked = Path(scratch, path)
                unpacked.parent.mkdir(parents=True, exist_ok=True)
                with open_member() as source, unpacked.open("wb") as target:  # type: ignore[union-attr]
                    shutil.copyfileobj(source, target)
                found[path] = unpacked.stat().st_size
        except DAMAGE as error:
            raise PullFailed("source_failed", f"{archive.name} is a damaged archive: {error}") from error
        for path in found:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.replace(Path(scratch, path), folder / path)
    return found


def _members(archive: Path) -> Iterator[Member]:
    if archive.name.endswith(".zip"):
        with zipfile.ZipFile(archive) as packed:
            for entry in packed.infolist():
                if not entry.is_dir():
                    yield entry.filename, entry.file_size, lambda entry=entry: packed.open(entry)  # type: ignore[misc]
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile():
                yield member.name, member.size, lambda member=member: tar.extractfile(member)  # type: ignore[misc]


def _check(archive: Path, path: str, size: int) -> None:
    parts = PurePosixPath(path).parts
    if path.startswith("/") or not parts or ".." in parts or "\\" in path or ":" in parts[0] or "\0" in path:
        raise PullFailed("source_failed", f"{archive.name} has a file with a dangerous name: {path!r}")
    free = shutil.disk_usage(archive.parent).free
    if size > free:
        raise PullFailed(
            "disk_full", f"{archive.name} unpacks to more than the {show_size(free)} that are free", "free some space"
        )
