"""Recordings that requests name: stored voices, and files below the folders that the settings allow.

A name is the id of a stored voice, a path below one of the folders, or the bare name of a file in them, with or without
its suffix. If no name matches exactly, upper and lower case do not matter: one client lower-cases everything that it
sends. No other file on the machine is opened, and no answer reveals that one exists.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hub.contract.errors import HubError
from hub.contract.speech import Reference
from hub.plugin.host import Host
from hub_gpt_sovits.options import CompatOptions
from hub_gpt_sovits.routes.answers import Refused

AUDIO = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".aiff")
TRANSCRIPTS = (".txt", ".lab")
MOST_FILES = 20_000
"""Files of one folder that the search for a bare name looks at."""

_NAMED = re.compile(r"[\[【](?P<voice>[^\]】]+)[\]】](?P<said>.*)")
"""File names such as `[voice]transcript.wav`, as the family's users write them."""

_LISTED = re.compile(r"\./参考音频/(?P<voice>.+)\.wav")
"""SillyTavern's path for a speaker of `/speakers`; stored voices are among them."""


class Found(NamedTuple):
    """A recording. A named voice comes with its transcript as `text`, a named file with ""."""

    audio: bytes
    text: str


class Recordings:
    """Finds recordings by name. Reads files in threads."""

    def __init__(self, hub: Host, options: CompatOptions) -> None:
        self._hub = hub
        self._roots = [Path(root).expanduser() for root in (*options.roots, *hub.settings.references.roots)]

    async def find(self, name: str) -> Found:
        """The recording `name`. Raises Refused if it is not one that a caller may name."""
        path = await asyncio.to_thread(self._below_a_root, name) if "/" in name else None
        if path is None and (stored := await self._stored(name)) is not None:
            return Found(stored.audio, stored.text or "")
        return await asyncio.to_thread(self._file, name, path)

    async def _stored(self, name: str) -> Reference | None:
        """The first recording of the stored voice `name`, if there is such a voice."""
        if (listed := _LISTED.fullmatch(name)) is not None:
            name = listed["voice"]
        if "/" in name:
            return None
        try:
            references = await self._hub.voices.references(name)
        except HubError:
            return None
        return references[0]

    def _file(self, name: str, path: Path | None) -> Found:
        """The file at `path`, or else the one that `name` means. Raises Refused."""
        text = ""
        path = path or self._below_a_root(name) or self._ignoring_case(name)
        if path is None:
            path = self._by_name(name)
            text = transcript_of(path) if path and name != path.name else ""
        if path is None:
            raise Refused(
                f"ref_audio_path: there is no recording {name[:200]!r} that may be named: give the id of a stored "
                "voice or a file below the hub's folders of recordings, or send the recording itself as ref_audio"
            )
        if path.stat().st_size > self._hub.settings.limits.body_bytes:
            raise Refused(f"ref_audio_path: {path.name} is larger than this hub reads")
        return Found(path.read_bytes(), text)

    def _below_a_root(self, name: str) -> Path | None:
        """The recording at the path `name` below a folder."""
        for root in self._roots:
            try:
                base = root.resolve(strict=True)
                path = (base / name).resolve(strict=True)
                if path.is_relative_to(base) and path.is_file() and path.suffix.lower() in AUDIO:
                    return path
            except (OSError, ValueError, RuntimeError):  # not there; a null byte; links in a circle
                continue
        return None

    def _ignoring_case(self, name: str) -> Path | None:
        """The same, in any case of letters."""
        wanted = Path(name).as_posix().casefold()
        if "/" not in wanted:
            return None
        for root in self._roots:
            for path in self._files(root):
                if wanted in (path.relative_to(root).as_posix().casefold(), path.absolute().as_posix().casefold()):
                    return path
        return None

    def _by_name(self, name: str) -> Path | None:
        """The file of that bare name, or with that voice in its brackets."""
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
        for _, path in zip(range(MOST_FILES), sorted(root.rglob("*")), strict=False):
            if path.suffix.lower() in AUDIO and path.is_file() and path.resolve().is_relative_to(base):
                yield path

    def names(self) -> list[str]:
        """The names that a request may use: stored voices, then recordings by their brackets or their file's name."""
        own = [voice.id for voice in self._hub.voices.list()]
        named = [match["voice"] if (match := _NAMED.fullmatch(path.stem)) else path.stem for path in self.files()]
        return list(dict.fromkeys([*own, *named]))

    def ids(self) -> list[str]:
        """The same with whole names of files: one client takes the transcript from the part after the brackets."""
        own = [voice.id for voice in self._hub.voices.list()]
        return list(dict.fromkeys([*own, *(path.stem for path in self.files())]))


def transcript_of(path: Path) -> str:
    """The transcript of a recording, from the text file beside it or from its name; "" if it has neither."""
    for suffix in TRANSCRIPTS:
        beside = path.with_suffix(suffix)
        if beside.is_file():
            return beside.read_text(encoding="utf-8", errors="replace").strip()
    named = _NAMED.fullmatch(path.stem)
    return named["said"].strip() if named else ""
