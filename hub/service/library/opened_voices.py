"""OpenedVoices: the voices whose decoded recordings are in memory, so that a request need not decode them again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from hub.service.library.voice_folder import Opened, Stamp


class OpenedVoices:
    """At most `limit` bytes of recordings; drops the least recently used first. Several threads may use it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[Path, tuple[Stamp, Opened]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, path: Path, stamp: Stamp) -> Opened | None:
        """The voice in the folder at `path`, if its files still have the `stamp` that they had."""
        with self._lock:
            kept = self._kept.get(path)
            if kept is None or kept[0] != stamp:
                return None
            self._kept.move_to_end(path)
            return kept[1]

    def put(self, path: Path, stamp: Stamp, opened: Opened) -> None:
        """Keep a voice, unless it alone is over the limit."""
        self.forget(path)
        size = opened.bytes
        if size > self._limit:
            return
        with self._lock:
            self._kept[path] = stamp, opened
            self._bytes += size
            while self._bytes > self._limit:
                _, (_, oldest) = self._kept.popitem(last=False)
                self._bytes -= oldest.bytes

    def forget(self, path: Path) -> None:
        """Drop a voice."""
        with self._lock:
            if (kept := self._kept.pop(path, None)) is not None:
                self._bytes -= kept[1].bytes
