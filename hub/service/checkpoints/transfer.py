"""Transfer: one file over HTTP, continued where it broke off, and checked before it is there.

What has come so far lies beside the target (`.NAME.<checksum>.part`), also when the process is killed. Only a file
whose size and checksum are right gets its name, in one step.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import httpx
from msgspec import Struct

from hub.service.disk.folder import sync_folder

ATTEMPTS = 6
"""Tries in a row in which nothing came, before the transfer is given up."""

LONGEST_PAUSE = 30.0
"""Seconds between two tries, at most."""

PIECE = 1 << 20


class PullFailed(Exception):
    """A checkpoint could not be pulled. `code` names the kind of failure, `hint` says what to do."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class RemoteFile(Struct, kw_only=True, frozen=True):
    """A file of a repository. `sha256` or, for small files of git, `blob` (git's own hash) tell whether it is right."""

    path: str
    size: int
    url: str
    sha256: str = ""
    blob: str = ""


Progress = Callable[[int], None]
"""Told how many bytes more there are; negative if some were of no use."""


def transfer(
    client: httpx.Client,
    file: RemoteFile,
    target: Path,
    *,
    headers: Mapping[str, str] = {},
    progress: Progress = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Bring `file` to `target`. Raises PullFailed, or OSError of the disk; what has come is kept for the next time."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{(file.sha256 or file.blob or str(file.size))[:16]}.part")
    have = _size(part)
    if have > file.size:
        part.unlink()
        have = 0
    progress(have)
    failures = 0
    while have < file.size or not part.exists():
        before = have
        try:
            _fetch(client, file, part, headers, progress)
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
        except _Later as later:
            reason = str(later)
        else:
            reason = "the server ended the transfer early"
        have = _size(part)
        failures = 0 if have > before else failures + 1
        if failures >= ATTEMPTS:
            raise PullFailed(
                "transfer_failed",
                f"{file.path}: {reason}; {have} of {file.size} bytes are there",
                "run the same command again: it goes on where it stopped",
            )
        if have < file.size:
            pause(min(LONGEST_PAUSE, 2.0**failures / 2))
    if not matches(part, file):
        part.unlink()
        progress(-file.size)
        raise PullFailed(
            "checksum_mismatch",
            f"{file.path}: what came is not what its publisher lists (checksum); it was thrown away",
            "run the command again; if it stays so, do not trust this source",
        )
    os.replace(part, target)
    sync_folder(target.parent)


def matches(path: Path, file: RemoteFile) -> bool:
    """Whether the file at `path` is `file`, by its size and, where there is one, its checksum."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    if not (file.sha256 or file.blob):
        return True
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    with open(path, "rb") as data:
        while piece := data.read(PIECE):
            digest.update(piece)
    return digest.hexdigest() == (file.sha256 or file.blob)


class _Later(Exception):
    """The server is busy or broken for now."""


def _fetch(client: httpx.Client, file: RemoteFile, part: Path, headers: Mapping[str, str], progress: Progress) -> None:
    """Append to `part` what the server sends, from where `part` ends."""
    have = _size(part)
    asked = {**headers, "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client.stream("GET", file.url, headers=asked) as answer:
        if answer.status_code == 416 or (have and answer.status_code == 206 and not _begins_at(answer, have)):
            part.unlink()
            progress(-have)
            raise _Later("the server could not go on where the transfer broke off")
        _check_status(answer, file)
        if have and answer.status_code == 200:  # from the beginning after all
            progress(-have)
            have = 0
        with open(part, "ab" if have else "wb") as data:
            for piece in answer.iter_raw():  # as it comes: gathered into larger pieces, a break would lose some
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
        raise _Later(f"the server answered {status}")
    refuse(status, file.path)


def refuse(status: int, what: str) -> None:
    """Raises PullFailed for an HTTP status that another try does not change."""
    if status in (401, 403):
        raise PullFailed(
            "access_denied",
            f"{what}: the publisher lets only those have it who accepted its terms ({status})",
            "accept the terms on its page, then give a token: HF_TOKEN or `hf auth login`, MODELSCOPE_API_TOKEN",
        )
    if status == 404:
        raise PullFailed("not_found", f"{what}: there is no such thing at this source", "check --revision and --source")
    raise PullFailed("transfer_failed", f"{what}: the server answered {status}")


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
