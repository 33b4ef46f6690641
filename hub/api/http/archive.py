"""ZIP archives that are made while they are sent."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any, cast

PART = 256 * 1024
"""Bytes of a file that are read at once."""


async def zip_parts(files: list[Path]) -> AsyncGenerator[bytes, None]:
    """Yield the parts of a ZIP archive of `files`. Files are read in threads, and stored: audio does not compress."""
    parts = _zip(files)
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        yield part


def _zip(files: list[Path]) -> Iterator[bytes]:
    sent = _Sent()
    with zipfile.ZipFile(cast(Any, sent), "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.name)  # without a date, so that the archive is the same each time
            with open(file, "rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while part := source.read(PART):
                    target.write(part)
                    yield sent.take()
    yield sent.take()


class _Sent:
    """A write-only file, in which zipfile does not seek."""

    def __init__(self) -> None:
        self._held = io.BytesIO()

    def write(self, data: bytes) -> int:
        return self._held.write(data)

    def flush(self) -> None: ...

    def take(self) -> bytes:
        data = self._held.getvalue()
        self._held = io.BytesIO()
        return data
