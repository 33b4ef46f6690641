"""Recordings that requests name: stored voices, and files below the folders that the settings allow.

A name is the id of a stored voice, a path below one of the folders, or the bare name of a file in them, with or without
its suffix. Capitals do not count where nothing has the very name: one client lower-cases all that it sends. Nothing
else on the machine is opened, and nobody learns whether it is there.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hub.contract.errors import HubError
from hub.contract.speech import Reference
from hub_gpt_sovits.routes.answers import Refused

if TYPE_CHECKING:
    from hub.service.hub import Hub
    from hub_gpt_sovits.settings import CompatOptions

AUDIO = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".aiff")
TRANSCRIPTS = (".txt", ".lab")
LOOKED_AT = 20_000
"""Files of one folder that a bare name is looked for among."""

_NAMED = re.compile(r"[\[【](?P<voice>[^\]】]+)[\]】](?P<said>.*)")
"""File names such as `[voice]what is said.wav`, as the family's users write them."""


_LISTED = re.compile(r"\./参考音频/(?P<voice>.+)\.wav")
"""How SillyTavern names each of the speakers that it was told, stored voices among them."""


class Found(NamedTuple):
    """A recording. `text` is what is said in it, of a voice that was named; a file that was named comes without."""

    audio: bytes
    text: str


class Recordings:
    """Looks names up. Reads files in threads."""

    def __init__(self, hub: Hub, options: CompatOptions) -> None:
        self._hub = hub
        self._roots = [Path(root).expanduser() for root in (*options.roots, *hub.settings.references.roots)]

    async def find(self, name: str) -> Found:
        """The recording `name`. Raises Refused if it is none that a caller may name."""
        return await asyncio.to_thread(self._find, name)

    def _find(self, name: str) -> Found:
        text = ""
        path = self._below_a_root(name) if "/" in name else None
        stored = self._stored(name) if path is None else None
        if stored is not None:
            return Found(stored.audio, stored.text or "")
        path = path or self._below_a_root(name) or self._whatever_capitals(name)
        if path is None:
            path = self._by_name(name)
            text = transcript_of(path) if path and name != path.name else ""
        if path is None:
            raise Refused(
                f"ref_audio_path: there is no recording {name[:200]!r} that may be named: give the id of a stored "
                "voice or a file below the hub's folders of recordings, or send the recording itself as ref_audio"
            )
        if path.stat().st_size > self._hub.voices.limits.bytes:
            raise Refused(f"ref_audio_path: {path.name} is larger than this hub reads")
        return Found(path.read_bytes(), text)

    def _stored(self, name: str) -> Reference | None:
        if (listed := _LISTED.fullmatch(name)) is not None:
            name = listed["voice"]
        try:
            if "/" in name or not self._hub.voices.has(name):
                return None
            return self._hub.voices.open(name).references[0]
        except HubError:
            return None

    def _below_a_root(self, name: str) -> Path | None:
        for root in self._roots:
            try:
                base = root.resolve(strict=True)
                path = (base / name).resolve(strict=True)
                if path.is_relative_to(base) and path.is_file() and path.suffix.lower() in AUDIO:
                    return path
            except (OSError, ValueError, RuntimeError):  # not there; a null byte; links in a circle
                continue
        return None

    def _whatever_capitals(self, name: str) -> Path | None:
        """A path below a folder, however its capitals are written."""
        wanted = Path(name).as_posix().casefold()
        if "/" not in wanted:
            return None
        for root in self._roots:
            for path in self._files(root):
                if wanted in (path.relative_to(root).as_posix().casefold(), path.absolute().as_posix().casefold()):
                    return path
        return None

    def _by_name(self, name: str) -> Path | None:
        """A file of that bare name, or with that voice in its brackets."""
        if "/" in name or "\\" in name or not name:
            return None
        alike = None
        for path in self.files():
            named = _NAMED.fullmatch(path.stem)
            names = (path.name, path.stem, *((named["voice"],) if named else ()))
            if name in names:
                return path
            if alike is None and name.casefold() in (one.casefold() for one in names):
                alike = path
        return alike

    def files(self) -> Iterator[Path]:
        """The recordings below the folders, by name."""
        for root in self._roots:
            yield from self._files(root)

    def _files(self, root: Path) -> Iterator[Path]:
        if not root.is_dir():
            return
        base = root.resolve()
        seen = (path for _, path in zip(range(LOOKED_AT), sorted(root.rglob("*")), strict=False))
        for path in seen:
            if path.suffix.lower() in AUDIO and path.is_file() and path.resolve().is_relative_to(base):
                yield path

    def names(self) -> list[str]:
        """What may be named: stored voices, then recordings by what is in their brackets, or their file's name."""
        own = [voice.id for voice in self._hub.voices.list()]
        named = [match["voice"] if (match := _NAMED.fullmatch(path.stem)) else path.stem for path in self.files()]
        return list(dict.fromkeys([*own, *named]))

    def ids(self) -> list[str]:
        """The same with whole names of files: one client takes the transcript from behind their brackets."""
        own = [voice.id for voice in self._hub.voices.list()]
        return list(dict.fromkeys([*own, *(path.stem for path in self.files())]))


def transcript_of(path: Path) -> str:
    """What is said in the file at `path`, by the text file beside it or by its name; "" if neither tells."""
    for suffix in TRANSCRIPTS:
        beside = path.with_suffix(suffix)
        if beside.is_file():
            return beside.read_text(encoding="utf-8", errors="replace").strip()
    named = _NAMED.fullmatch(path.stem)
    return named["said"].strip() if named else ""
