"""PreparedCache: what `Synthesizer.make_voice` made, kept as files, so that a voice is prepared once for each model.

An entry is named after all that it was made from: the recordings and transcripts, and the model's backend, plugin
version, weights and options. When any of them changes the name is another one, and the old entry falls out in time.
Its content is opaque bytes behind their own hash; the hub never interprets them, least of all as pickles.
"""

from __future__ import annotations

import hashlib
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from hub.contract.backend import Loaded
from hub.plugin.manager import Plugins
from hub.service.disk.folder import NEW, exclusive, sweep, write_file
from hub.service.models.model import Model

log = logging.getLogger("hub.voices")

SUFFIX = ".prepared"


class PreparedCache:
    """Files in one folder, at most `limit` bytes together; drops the least recently used first."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    def get(self, key: str) -> bytes | None:
        """The state under `key`, if it is there and undamaged."""
        path = self._path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        digest, state = data[:32], data[32:]
        if hashlib.sha256(state).digest() != digest:
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)  # used just now
        return state

    def put(self, key: str, state: bytes) -> None:
        """Keep `state`. If the cache cannot be written, that is logged, and the state is made again next time."""
        if len(state) + 32 > self._limit:
            return
        try:
            with exclusive(self._folder):
                write_file(self._path(key), hashlib.sha256(state).digest() + state)
                self._evict()
        except OSError as error:
            log.warning("a prepared voice could not be kept: %s", error)

    def sweep(self) -> None:
        """Remove what an interrupted write left behind, and what is over the limit."""
        if self._folder.is_dir():
            with exclusive(self._folder):
                sweep(self._folder)
                self._evict()

    def _evict(self) -> None:
        entries = []
        for path in self._folder.iterdir():
            if path.suffix == SUFFIX and not path.name.startswith(NEW):
                state = path.stat()
                entries.append((state.st_mtime_ns, state.st_size, path))
        room = self._limit
        for _, size, path in sorted(entries, reverse=True):
            room -= size
            if room < 0:
                path.unlink()

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}{SUFFIX}"


def model_identity(model: Model, loaded: Loaded, plugins: Plugins) -> tuple[Any, ...]:
    """Return all of a loaded model that a prepared state depends on."""
    settings = model.settings
    plugin = plugins.backend_plugins[model.spec.name]
    version = next((info.version for info in plugins.installed if info.name == plugin), "")
    # A state from before the backend declared that its states suffice may lack what it now reads from it.
    suffices = loaded.capabilities.prepared_suffices
    backend = model.spec.name, model.spec.synthesizer, version
    return *backend, settings.path, settings.dtype, settings.options, loaded.weights, suffices


def prepared_key(identity: tuple[Any, ...], digest: str) -> str:
    """The name of the state that the model of this identity makes of the voice with `digest`."""
    return hashlib.sha256(msgspec.json.encode((*identity, digest), order="deterministic")).hexdigest()
