"""The data folder: everything that the hub keeps, as plain files, written whole or not at all.

A write goes to a hidden file or folder beside its path (`.new-...`), is forced to the disk, and is renamed into place
in one step. A removal renames the entry (`.old-...`) before it deletes anything. Whenever the process or the machine
dies, a reader finds the old state or the new one; `sweep` removes the leftovers.

Writers of one folder take turns (`exclusive`), also across processes. Readers never wait.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from hub.contract.errors import StorageFailed
from hub.settings import Settings

try:
    import fcntl
except ImportError:  # Windows: writers within this process still take turns
    fcntl = None  # type: ignore[assignment]

NEW, OLD = ".new-", ".old-"
"""Name prefixes of entries that are being written, and of entries that are being removed."""

_turns: dict[Path, threading.Lock] = {}


class Damaged(Exception):
    """A file or folder that cannot be used. The message says why, and clients may see it."""


def data_folder(settings: Settings) -> Path:
    """`Settings.data`, else `tts-hub` below `XDG_DATA_HOME` or `~/.local/share`; perhaps not created yet."""
    if settings.data:
        return Path(settings.data).expanduser().absolute()
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser().absolute() / "tts-hub"


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Turn an OSError in the block into StorageFailed: `what` ("the voice") could not be stored or read, and why."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"{what} could not be stored or read: {_reason(error)}") from error


def write_file(path: Path, data: bytes) -> None:
    """Write `data` to `path` in one step, creating the folders above it. Raises OSError; see `storing`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{NEW}{uuid.uuid4().hex}")
    try:
        _write_new(new, data)
        os.replace(new, path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise
    sync_folder(path.parent)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Create the folder `path` with `files` (name -> content) in one step. Raises FileExistsError, or OSError.

    Call it within `exclusive`, so that no other writer creates `path` meanwhile.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, "it already exists")
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{NEW}{uuid.uuid4().hex}")
    try:
        new.mkdir()
        for name, data in files.items():
            _write_new(new / name, data)
        sync_folder(new)
        os.rename(new, path)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        raise
    sync_folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file or folder in one step. Raises FileNotFoundError, or OSError."""
    old = path.with_name(f"{OLD}{uuid.uuid4().hex}")
    os.rename(path, old)
    sync_folder(path.parent)
    _discard(old)


def sweep(folder: Path) -> None:
    """Remove what an interrupted write or removal left in `folder`. Call it within `exclusive`."""
    with suppress(FileNotFoundError):
        for entry in list(folder.iterdir()):
            if entry.name.startswith((NEW, OLD)):
                _discard(entry)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock `folder`, created if need be, against other writers. Blocks until they have finished."""
    with _turns.setdefault(folder, threading.Lock()):
        folder.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            yield
            return
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # freed by the system if this process dies
            yield
        finally:
            os.close(lock)


def sync_folder(folder: Path) -> None:
    """Force the names in `folder` to the disk, where the system supports that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_new(path: Path, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


_REASONS = {
    errno.ENOSPC: "the disk is full; free some space",
    errno.EDQUOT: "the disk quota is used up; free some space",
    errno.EROFS: "the data folder is on a read-only file system; set `data` to another folder",
    errno.EACCES: "the hub may not write or read in its data folder; check its permissions",
    errno.EPERM: "the hub may not write or read in its data folder; check its permissions",
    errno.ENAMETOOLONG: "the name is too long for this file system",
    errno.ENOTDIR: "there is a file where a folder should be; check the data folder",
}


def _reason(error: OSError) -> str:
    return _REASONS.get(error.errno or 0, error.strerror or "the file system refused")
