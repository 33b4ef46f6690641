"""Transfer of one file over HTTP: it resumes where it broke off, and is checked before it gets its name.

The bytes so far are beside the target (`.NAME.<checksum>.part`), and stay there if the process is killed. Once size
and checksum are right, that file is renamed to the target in one step.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import httpx
from msgspec import Struct

from hub.service.disk.folder import sync_folder

ATTEMPTS = 6
"""Attempts in a row without a new byte, after which the transfer fails."""

LONGEST_PAUSE = 30.0
"""Seconds between two attempts, at most."""

PIECE = 1 << 20


class PullFailed(Exception):
    """A checkpoint could not be pulled. `code` names the kind of failure, `hint` says what to do."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class RemoteFile(Struct, kw_only=True, frozen=True):
    """A file of a repository, with its checksum: `sha256` or, for small files in git, `blob` (git's own hash)."""

    path: str
    size: int
    url: str
    sha256: str = ""
    blob: str = ""


Progress = Callable[[int], None]
"""Called with the number of bytes that were added; negative if some were discarded."""


def transfer(
    client: httpx.Client,
    file: RemoteFile,
    target: Path,
    *,
    headers: Mapping[str, str] = {},
    progress: Progress = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Fetch `file` to `target`. Raises PullFailed, or OSError of the disk; the next call resumes where this stopped."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{(file.sha256 or file.blob or str(file.size))[:16]}.part")
    if _size(part) > file.size:
        part.unlink()
    progress(_size(part))
    _fetch_all(client, file, part, headers, progress, pause)
    if not matches(part, file):
        part.unlink()
        progress(-file.size)
        raise PullFailed(
            "checksum_mismatch",
            f"{file.path}: its checksum is not the one that its publisher lists; the file was deleted",
            "run the command again; if it fails again, do not trust this source",
        )
    os.replace(part, target)
    sync_folder(target.parent)


def _fetch_all(
    client: httpx.Client,
    file: RemoteFile,
    part: Path,
    headers: Mapping[str, str],
    progress: Progress,
    pause: Callable[[float], None],
) -> None:
    """Fetch the rest of `file` to `part`, in as many attempts as bring new bytes. Raises PullFailed, OSError."""
    have, failures = _size(part), 0
    while have < file.size or not part.exists():
        before = have
        reason = _attempt(client, file, part, headers, progress)
        have = _size(part)
        failures = 0 if have > before else failures + 1
        if failures >= ATTEMPTS:
            raise PullFailed(
                "transfer_failed",
                f"{file.path}: {reason}; {have} of {file.size} bytes are there",
                "run the same command again: it resumes where it stopped",
            )
        if have < file.size:
            pause(min(LONGEST_PAUSE, 2.0**failures / 2))


def _attempt(client: httpx.Client, file: RemoteFile, part: Path, headers: Mapping[str, str], progress: Progress) -> str:
    """Fetch once; return why the transfer ended, in case bytes are missing."""
    try:
        _fetch(client, file, part, headers, progress)
    except httpx.TransportError as error:
        return str(error) or type(error).__name__
    except _Retry as retry:
        return str(retry)
    return "the server ended the transfer early"


def matches(path: Path, file: RemoteFile) -> bool:
    """True if the file at `path` has the size of `file` and, where there is one, its checksum."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    if not (file.sha256 or file.blob):
        return True
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    with open(path, "rb") as data:
        while piece := data.read(PIECE):
            digest.update(piece)
    return digest.hexdigest() == (file.sha256 or file.blob)


class _Retry(Exception):
    """The server is busy or broken for now; the message says how."""


def _fetch(client: httpx.Client, file: RemoteFile, part: Path, headers: Mapping[str, str], progress: Progress) -> None:
    """Fetch the bytes that `part` lacks, and append them."""
    have = _size(part)
    asked = {**headers, "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", file.url, headers=asked) as answer:
        if answer.status_code == 416 or (have and answer.status_code == 206 and not _begins_at(answer, have)):
            part.unlink()
            progress(-have)
            raise _Retry("the server could not resume where the transfer broke off")
        _check_status(answer, file)
        if have and answer.status_code == 200:  # the whole file, not the range
            progress(-have)
            have = 0
        with open(part, "ab" if have else "wb") as data:
            for piece in answer.iter_raw():  # unbuffered: when the connection breaks, all that came is on disk
                if have + len(piece) > file.size:
                    raise PullFailed("transfer_failed", f"{file.path}: the server sends more than {file.size} bytes")
                data.write(piece)
                have += len(piece)
                progress(len(piece))
            data.flush()
            os.fsync(data.fileno())


def _begins_at(answer: httpx.Response, start: int) -> bool:
    given: str = answer.headers.get("content-range", "")
    return given.startswith(f"bytes {start}-")


def _check_status(answer: httpx.Response, file: RemoteFile) -> None:
    status = answer.status_code
    if status in (200, 206):
        return
    if status in (408, 429) or status >= 500:
        raise _Retry(f"the server answered {status}")
    refuse(status, file.path)


def refuse(status: int, what: str) -> NoReturn:
    """Raise PullFailed for an HTTP status that another attempt would not change."""
    if status in (401, 403):
        raise PullFailed(
            "access_denied",
            f"{what}: its publisher requires that you accept its terms first ({status})",
            "accept the terms on its page, then give a token: HF_TOKEN or `hf auth login`, MODELSCOPE_API_TOKEN",
        )
    if status == 404:
        raise PullFailed("not_found", f"{what} was not found at this source", "check --revision and --source")
    raise PullFailed("transfer_failed", f"{what}: the server answered {status}")


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
