"""Unpacking the archives of a checkpoint: only plain files, and only inside its folder."""

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
"""(path in the archive, size in bytes, function that opens it)."""


DAMAGE = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, ValueError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
"""Errors of the packages for an archive that is truncated, changed or encrypted, or packed by an unknown method."""


def is_archive(name: str) -> bool:
    """True if a file of this name is an archive to unpack: zip, or tar with or without compression."""
    return name.endswith((".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2"))


def unpack(archive: Path) -> dict[str, int]:
    """Unpack `archive` into its own folder, replacing each file in one step. Return the files' sizes by path.

    Skips links and devices. Raises PullFailed, before it replaces anything, for a damaged archive, a path that leads
    out of the folder, and more data than the disk can hold; OSError of the disk.
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
            "disk_full", f"{archive.name} unpacks to more than the {show_size(free)} that is free", "free some space"
        )
