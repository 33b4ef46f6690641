"""Sinks for audio: a file, stdout, or the speakers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Protocol, Self

from hub.cli.failure import Failed

PLAYERS = (
    ("aplay", "-q", "-"),
    ("paplay",),
    ("afplay",),  # plays files only
    ("ffplay", "-nodisp", "-autoexit", "-loglevel", "error", "-i", "-"),
    ("play", "-q", "-t", "wav", "-"),
)
"""Programs that play a WAV from stdin, in the order of preference."""


class Sink(Protocol):
    """A context manager that takes audio; leaving it with an error leaves nothing behind."""

    whole: bool
    """True if no one listens before the end."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None: ...

    async def write(self, data: bytes) -> None:
        """Take the next bytes."""
        ...


class FileSink:
    """A file that appears once it is complete: written beside its path, then moved. A device is written to directly."""

    whole = True

    def __init__(self, path: Path) -> None:
        """Raises Failed if `path` cannot be a file."""
        if path.is_dir():
            raise Failed("bad_output", f"{path} is a folder; name a file")
        if not path.parent.is_dir():
            raise Failed("bad_output", f"there is no folder {path.parent}; create it first")
        self._path = path
        self._direct = path.exists() and not path.is_file()
        target = path.resolve()  # a link stays a link
        self._part = path if self._direct else target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        self._target = target

    async def __aenter__(self) -> Self:
        try:
            self._file = self._part.open("wb" if self._direct else "x+b")
        except OSError as error:
            raise Failed("bad_output", f"cannot write {self._path}: {error.strerror}") from None
        return self

    async def write(self, data: bytes) -> None:
        """Write. Raises Failed when the disk is full, for example."""
        try:
            self._file.write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Failed("bad_output", f"cannot write {self._path}: {error.strerror}") from None

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            if kind is None and not self._direct:
                self._state_length()
        finally:
            self._file.close()
            if not self._direct:
                if kind is None:
                    self._part.replace(self._target)
                else:
                    self._part.unlink(missing_ok=True)

    def _state_length(self) -> None:
        """Write the length into the header of a streamed WAV, which left it open."""
        size = self._file.tell()
        self._file.seek(0)
        head = self._file.read(44)
        if head[:8] == b"RIFF\xff\xff\xff\xff" and head[36:44] == b"data\xff\xff\xff\xff":
            for offset, value in ((4, size - 8), (40, size - 44)):
                self._file.seek(offset)
                self._file.write(min(value, 0xFFFFFFFF).to_bytes(4, "little"))


class StdoutSink:
    """Audio on stdout, each chunk as soon as it arrives."""

    whole = False

    async def __aenter__(self) -> Self:
        if sys.stdout.isatty():
            raise Failed("bad_output", "stdout is a terminal; use --out FILE, or a pipe")
        return self

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None: ...

    async def write(self, data: bytes) -> None:
        """Write and flush. Blocks while the reader is slow, which in turn holds the model back."""
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


class PlayerSink:
    """A program that plays a WAV from its stdin, while it is generated."""

    whole = False

    def __init__(self) -> None:
        """Raises Failed if no player is installed."""
        found = [(path, *rest) for name, *rest in PLAYERS if (path := shutil.which(name))]
        if not found:
            names = ", ".join(player[0] for player in PLAYERS)
            raise Failed("no_player", f"found no program that plays audio ({names})", "use --out FILE to write a file")
        self._command = found[0]
        self._name = Path(self._command[0]).name
        self._file: Path | None = None

    async def __aenter__(self) -> Self:
        if self._name == "afplay":
            handle, name = tempfile.mkstemp(suffix=".wav")
            os.close(handle)
            self._file = Path(name)
            return self
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        return self

    async def write(self, data: bytes) -> None:
        """Pass data to the player; wait while its pipe is full.

        Raises Failed if the player failed, BrokenPipeError if it was closed.
        """
        if self._file is not None:
            with self._file.open("ab") as file:
                file.write(data)
            return
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(data)
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            await self._wait()
            raise BrokenPipeError from None

    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        if self._file is not None:
            try:
                if kind is None:
                    self._process = await asyncio.create_subprocess_exec(
                        *self._command, str(self._file), stderr=asyncio.subprocess.PIPE
                    )
                    await self._wait()
            finally:
                self._file.unlink()
        elif kind is None:
            await self._wait()
        else:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.communicate()

    async def _wait(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            _, words = await self._process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            raise
        if self._process.returncode != 0:
            last = words.decode(errors="replace").strip() or f"exit code {self._process.returncode}"
            raise Failed("player_failed", f"{self._name} could not play: {last}", "use --out FILE to write a file")
