"""The id of the weights that a worker has loaded: it changes when one of their files is replaced or rewritten."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path

import msgspec


def weights_id(paths: Iterable[str | PathLike[str]]) -> str:
    """Return a hash of the paths, and of the times of change and sizes of all files at and below them.

    A path that does not exist (a model's `path` may be a name) counts by its name alone; an empty one does not count.
    """
    roots = [Path(path).expanduser().absolute() for path in paths if str(path)]
    files = [(str(root), sorted(_files(root, set()))) for root in roots]
    return hashlib.sha256(msgspec.json.encode(files)).hexdigest()


def _files(path: Path, seen: set[Path]) -> Iterator[tuple[str, int, int]]:
    """Yield (path, time of change in ns, size) of the file, or of each file of the folder, through links."""
    try:
        if path.is_dir():
            if (folder := path.resolve()) not in seen:  # links may form a circle
                seen.add(folder)
                for entry in path.iterdir():
                    yield from _files(entry, seen)
        else:
            state = path.stat()
            yield str(path), state.st_mtime_ns, state.st_size
    except (OSError, RuntimeError):  # a broken link, a circle of links, or a folder that may not be read
        return
