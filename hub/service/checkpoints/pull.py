"""pull(): bring a backend's checkpoint to this machine, complete and checked.

The folder keeps a record of its verified files (`.checkpoint.json`). A second pull fetches only what is missing or has
changed; an offline one checks that everything is there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

import httpx
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.contract.backend import Checkpoint
from hub.service.checkpoints import repositories
from hub.service.checkpoints.archives import is_archive, unpack
from hub.service.checkpoints.repositories import Listing
from hub.service.checkpoints.transfer import PullFailed, RemoteFile, matches, transfer
from hub.service.disk.folder import exclusive, write_file
from hub.service.disk.sizes import show_size

Source = Literal["hf", "modelscope"]
Origin = Source | Literal["github"]

VERIFIED = ".checkpoint.json"
CONNECT_TIMEOUT, READ_TIMEOUT = 15.0, 60.0


class VerifiedFile(Struct, kw_only=True, frozen=True):
    """A file whose checksum was right when it had this size and this modification time (`changed`, in ns)."""

    size: int
    checksum: str
    changed: int


class Verified(Struct, kw_only=True):
    """The record of a folder: its repository and its verified files.

    `complete`: it has everything that the checkpoint asks for. `unpacked`: the sizes by path of the files from each
    archive; the archive itself is deleted.
    """

    source: str
    repository: str
    revision: str
    complete: bool = False
    files: dict[str, VerifiedFile] = {}
    unpacked: dict[str, dict[str, int]] = {}


class Pulled(Struct, kw_only=True, frozen=True):
    """The result of `pull`: the folder, its revision, its files and bytes, and the bytes that were `fetched`."""

    folder: str
    source: str
    repository: str
    revision: str
    files: int
    size: int
    fetched: int


class Watcher(Protocol):
    """Follows the progress of a pull."""

    def begin(self, files: int, size: int) -> None:
        """The pull begins; it needs so many files and bytes."""
        ...

    def file(self, path: str) -> None:
        """The transfer of this file begins."""
        ...

    def progress(self, size: int) -> None:
        """So many more bytes are there; negative if some were discarded."""
        ...


class NoWatcher:
    """A `Watcher` that does nothing."""

    def begin(self, files: int, size: int) -> None:
        """Implement `Watcher.begin`."""

    def file(self, path: str) -> None:
        """Implement `Watcher.file`."""

    def progress(self, size: int) -> None:
        """Implement `Watcher.progress`."""


def pull(
    checkpoint: Checkpoint,
    folder: Path,
    *,
    source: Source | None = None,
    revision: str = "",
    offline: bool = False,
    watcher: Watcher | None = None,
) -> Pulled:
    """Bring `checkpoint` with its parts to `folder` from `source` (default: Hugging Face, where it is published there).

    `revision` applies to the checkpoint's own repository, not to its parts. Raises PullFailed, and OSError of the disk.
    Blocks. After an interruption, the next pull resumes where this one stopped.
    """
    done = _pull_one(checkpoint, folder, source, revision, offline, watcher)
    for name, part in checkpoint.parts.items():
        more = pull(part, folder / name, source=source, offline=offline, watcher=watcher)
        done = replace(
            done, files=done.files + more.files, size=done.size + more.size, fetched=done.fetched + more.fetched
        )
    return done


def _pull_one(
    checkpoint: Checkpoint,
    folder: Path,
    source: Source | None,
    revision: str,
    offline: bool,
    watcher: Watcher | None,
) -> Pulled:
    if offline:
        return check(folder)
    chosen = "github" if checkpoint.github else source or ("hf" if checkpoint.huggingface else "modelscope")
    timeout = httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
    with httpx.Client(timeout=timeout, follow_redirects=True) as client, exclusive(folder):
        listing = _list(client, checkpoint, chosen, revision)
        files = [_pinned(file, checkpoint) for file in _wanted(listing, checkpoint)]
        verified = _read(folder) or Verified(source=chosen, repository="", revision="")
        verified.source, verified.repository, verified.revision = chosen, listing.repository, listing.revision
        verified.complete = False
        fetched = _bring(client, files, folder, verified, listing.headers, watcher or NoWatcher())
        verified.files = {file.path: verified.files[file.path] for file in files}
        if checkpoint.unpack:
            _unpack(folder, verified)
        verified.complete = True
        _write(folder, verified)
    return _pulled(folder, verified, fetched)


def check(folder: Path) -> Pulled:
    """Check the result of an earlier pull to `folder`, without a network. Raises PullFailed if it is not complete."""
    verified = _read(folder)
    if verified is None or not verified.complete:
        raise PullFailed("incomplete", f"the checkpoint in {folder} is not complete", "pull it without --offline")
    for archive, known in verified.files.items():
        for path, size in verified.unpacked.get(archive, {archive: known.size}).items():
            if not _is_there(folder / path, size):
                raise PullFailed(
                    "incomplete", f"{path} in {folder} is missing or was changed", "pull without --offline"
                )
    return _pulled(folder, verified, 0)


def pulled(models: Path) -> list[tuple[str, str, Path]]:
    """The complete checkpoints below the folder `models`: (backend, variant, folder), sorted by name."""
    found = [note.parent for note in sorted(models.glob(f"*/*/{VERIFIED}"))]
    return [
        (folder.parent.name, folder.name, folder)
        for folder in found
        if (verified := _read(folder)) is not None and verified.complete
    ]


def _list(client: httpx.Client, checkpoint: Checkpoint, source: Origin, revision: str) -> Listing:
    if source == "github":
        return repositories.github(client, checkpoint.github, revision or checkpoint.revision)
    if source == "hf":
        if not checkpoint.huggingface:
            raise PullFailed("not_found", "this checkpoint is not published at Hugging Face", "use --source modelscope")
        return repositories.huggingface(checkpoint.huggingface, revision or checkpoint.revision)
    if not checkpoint.modelscope:
        raise PullFailed("not_found", "this checkpoint is not published at ModelScope", "use --source hf")
    return repositories.modelscope(client, checkpoint.modelscope, revision or checkpoint.modelscope_revision)


def _wanted(listing: Listing, checkpoint: Checkpoint) -> Iterable[RemoteFile]:
    """The files that the checkpoint asks for. Raises PullFailed if one has a path that leads out of the folder."""
    files = [file for file in listing.files if not checkpoint.files or _any(file.path, checkpoint.files)]
    if not files:
        raise PullFailed("not_found", f"{listing.repository} has none of the files {', '.join(checkpoint.files)}")
    for file in files:
        parts = PurePosixPath(file.path).parts
        if file.path.startswith("/") or not parts or {"..", "."} & set(parts) or "\\" in file.path or ":" in parts[0]:
            raise PullFailed("source_failed", f"{listing.repository} has a file with a dangerous name: {file.path!r}")
    return files


def _any(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _pinned(file: RemoteFile, checkpoint: Checkpoint) -> RemoteFile:
    pin = checkpoint.sha256.get(file.path)
    if pin is None:
        return file
    if file.sha256 and file.sha256 != pin:
        raise PullFailed(
            "checksum_mismatch",
            f"{file.path}: the file that this source lists differs from the one that the plugin pins",
            "check --revision; if it is right, ask the plugin's author",
        )
    return msgspec.structs.replace(file, sha256=pin, blob="")


def _bring(
    client: httpx.Client,
    files: list[RemoteFile],
    folder: Path,
    verified: Verified,
    headers: dict[str, str],
    watcher: Watcher,
) -> int:
    """Fetch the missing files one by one; return how many bytes that were."""
    watcher.begin(len(files), sum(file.size for file in files))
    missing: list[RemoteFile] = []
    for file in files:
        if _have(folder, file, verified):
            watcher.progress(file.size)
        else:
            missing.append(file)
    _check_space(folder, missing)
    for file in missing:
        watcher.file(file.path)
        transfer(client, file, folder / file.path, headers=headers, progress=watcher.progress)
        _note(folder, file, verified)
        _write(folder, verified)
    return sum(file.size for file in missing)


def _have(folder: Path, file: RemoteFile, verified: Verified) -> bool:
    """True if the file is here already. A file without a record is checked now."""
    path = folder / file.path
    known = verified.files.get(file.path)
    unpacked = verified.unpacked.get(file.path)
    if unpacked and known is not None and known.checksum == _checksum(file):
        return all(_is_there(folder / path, size) for path, size in unpacked.items())
    if not _is_there(path, file.size):
        return False
    if known is not None and known == _as_it_is(path, file):
        return True
    if not matches(path, file):
        return False
    _note(folder, file, verified)
    return True


def _note(folder: Path, file: RemoteFile, verified: Verified) -> None:
    verified.files[file.path] = _as_it_is(folder / file.path, file)


def _as_it_is(path: Path, file: RemoteFile) -> VerifiedFile:
    return VerifiedFile(size=file.size, checksum=_checksum(file), changed=path.stat().st_mtime_ns)


def _checksum(file: RemoteFile) -> str:
    return file.sha256 or file.blob


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _unpack(folder: Path, verified: Verified) -> None:
    """Unpack the archives that were fetched, and delete them. Their records stay."""
    for name in verified.files:
        archive = folder / name
        if is_archive(name) and archive.is_file():
            found = unpack(archive)
            above = PurePosixPath(name).parent
            verified.unpacked[name] = {str(above / path): size for path, size in found.items()}
            _write(folder, verified)
            archive.unlink()
    verified.unpacked = {name: found for name, found in verified.unpacked.items() if name in verified.files}


def _check_space(folder: Path, missing: list[RemoteFile]) -> None:
    here = sum(part.stat().st_size for part in folder.rglob(".*.part"))
    need, free = sum(file.size for file in missing) - here, shutil.disk_usage(folder).free
    if need > free:
        raise PullFailed(
            "disk_full",
            f"the checkpoint needs {show_size(need)} more, and {show_size(free)} is free",
            "free some space, or use --dir",
        )


def _read(folder: Path) -> Verified | None:
    try:
        return msgspec.json.decode((folder / VERIFIED).read_bytes(), type=Verified)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _write(folder: Path, verified: Verified) -> None:
    write_file(folder / VERIFIED, msgspec.json.encode(verified))


def _pulled(folder: Path, verified: Verified, fetched: int) -> Pulled:
    return Pulled(
        folder=os.fspath(folder),
        source=verified.source,
        repository=verified.repository,
        revision=verified.revision,
        files=len(verified.files),
        size=sum(file.size for file in verified.files.values()),
        fetched=fetched,
    )
