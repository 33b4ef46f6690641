"""VoiceLibrary: the stored voices, as plain folders. People may also make, change and remove them by hand.

The voices in the settings' `voice_folders` belong to it too, and are only read. The library looks at a voice's files
whenever it needs the voice, and decodes them again only if one has changed. A damaged voice is reported beside the
others and hides none of them.
"""

from __future__ import annotations

import asyncio
import os
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hub.audio.decode import DecodeLimits
from hub.audio.wav import is_hub_wav
from hub.contract.backend import Capabilities
from hub.contract.errors import Conflict, InvalidRequest, UnknownVoice
from hub.contract.speech import Reference
from hub.contract.voice import MOST_RECORDINGS, StoredVoice, VoiceFit
from hub.service.disk.folder import (
    Damaged,
    data_folder,
    exclusive,
    remove,
    storing,
    sweep,
    sync_folder,
    write_file,
    write_folder,
)
from hub.service.disk.ids import check_id, is_id
from hub.service.library.opened_voices import OpenedVoices
from hub.service.library.voice_finder import VoiceFinder
from hub.service.library.voice_fit import unfitness
from hub.service.library.voice_folder import (
    FACTS,
    Facts,
    Opened,
    Stamp,
    clean_transcript,
    facts_file,
    facts_of,
    files_of,
    open_folder,
    opened_of,
    stamp_of,
)
from hub.settings import Settings


class VoiceProblem(Struct, kw_only=True, frozen=True):
    """A voice folder that cannot be used, and why."""

    id: str
    problem: str


class VoiceLibrary:
    """The stored voices. All methods but `references` read or write files: call them in a thread."""

    def __init__(
        self, folder: Path, limits: DecodeLimits, further: Sequence[Path] = (), *, opened_bytes: int = 0
    ) -> None:
        """Keep at most `opened_bytes` of decoded recordings in memory."""
        self.folder = folder
        self.limits = limits
        self._finder = VoiceFinder(folder, further)
        self._known: dict[Path, tuple[Stamp, StoredVoice | VoiceProblem]] = {}
        self._opened = OpenedVoices(opened_bytes)

    @classmethod
    def build(cls, settings: Settings) -> VoiceLibrary:
        """The library below the settings' data folder. Touches no file."""
        limits = DecodeLimits(bytes=settings.limits.body_bytes, seconds=settings.limits.reference_seconds)
        further = [Path(folder) for folder in settings.voice_folders]
        opened_bytes = settings.limits.decoded_bytes
        return cls(data_folder(settings) / "voices", limits, further, opened_bytes=opened_bytes)

    def recover(self) -> None:
        """Remove what interrupted writes left behind. Call it once, at the start."""
        with storing("the voices"):
            if self.folder.is_dir():
                with exclusive(self.folder):
                    sweep(self.folder)

    # ---- reading ----------------------------------------------------------------------------------------------------

    def list(self) -> list[StoredVoice]:
        """All voices that can be used, sorted by id."""
        return [found for found in self._look() if isinstance(found, StoredVoice)]

    def problems(self) -> Sequence[VoiceProblem]:
        """The voice folders that cannot be used, and why."""
        return [found for found in self._look() if isinstance(found, VoiceProblem)]

    def has(self, id: str) -> bool:
        """True if there is a folder for this id, damaged or not."""
        with storing("the voices"):
            return self._finder.find(id) is not None

    def get(self, id: str) -> StoredVoice:
        """The voice of this id. Raises UnknownVoice, also for a damaged one, and says what is wrong with it."""
        found = self._look_at(*self._find(id))
        if isinstance(found, StoredVoice):
            return found
        raise _unknown(id, found)

    def open(self, id: str) -> Opened:
        """The voice and its recordings, decoded to mono 32-bit float WAV. Raises UnknownVoice."""
        id, path = self._find(id)
        try:
            with storing(f"voice {id!r}"):
                stamp = stamp_of(path)
                return self._opened.get(path, stamp) or self._read(id, path, stamp)
        except Damaged as damage:
            raise _unknown(id, VoiceProblem(id=id, problem=str(damage))) from None

    def recording(self, id: str, number: int) -> tuple[str, bytes]:
        """The name and the content of a recording's file. Raises UnknownVoice, InvalidRequest."""
        voice = self.get(id)
        if not 0 <= number < len(voice.recordings):
            raise InvalidRequest(
                f"voice {voice.id!r} has no recording {number}: it has {len(voice.recordings)}, counted from 0"
            )
        name = voice.recordings[number].file
        with storing(f"voice {voice.id!r}"):
            return name, (self._find(voice.id)[1] / name).read_bytes()

    async def references(self, id: str) -> tuple[Reference, ...]:
        """The recordings of a voice as synthesizers get them. Raises UnknownVoice."""
        return (await asyncio.to_thread(self.open, id)).references

    def fit(self, voice: StoredVoice, model: str, capabilities: Capabilities) -> VoiceFit:
        """The fit of `voice` for a model with these capabilities."""
        reason = unfitness(voice.recordings, voice.language, model, capabilities)
        return VoiceFit(usable=not reason, reason=reason)

    # ---- writing ----------------------------------------------------------------------------------------------------

    def create(self, id: str, facts: Facts, references: tuple[Reference, ...]) -> StoredVoice:
        """Store a new voice; `references` are decoded already. Raises InvalidRequest, Conflict, StorageFailed."""
        id = check_id(id)
        if not 1 <= len(references) <= MOST_RECORDINGS:
            raise InvalidRequest(f"a voice has 1 to {MOST_RECORDINGS} recordings, not {len(references)}")
        now = time.time()
        facts = replace(facts, created=now, updated=now)
        cleaned = tuple(replace(one, text=clean_transcript(one.text)) for one in references)
        path = self.folder / id
        with storing(f"voice {id!r}"), exclusive(self.folder):
            self._check_free(id)
            write_folder(path, files_of(facts, cleaned))
            if all(is_hub_wav(one.audio) for one in cleaned):  # reading the files would give the same
                self._remember(path, stamp_of(path), opened_of(id, facts, cleaned))
        return self.get(id)

    def update(
        self, id: str, *, new_id: str | None = None, texts: dict[str, str] | None = None, **changes: Any
    ) -> StoredVoice:
        """Change facts (`changes`: fields of Facts), transcripts (`texts` by recording's file) and the id.

        Raises UnknownVoice, InvalidRequest, StorageFailed, and Conflict for a taken id or a voice of `voice_folders`.
        """
        new_id = check_id(new_id) if new_id is not None else None
        with storing(f"voice {id!r}"), exclusive(self.folder):
            voice = self.get(id)
            path = self._own(voice.id)
            if new_id is not None and new_id != voice.id:
                self._check_free(new_id, besides=voice.id)
            for file, text in _checked_texts(voice, texts or {}).items():
                write_file((path / file).with_suffix(".txt"), f"{text}\n".encode())
            if changes or texts:
                facts = replace(facts_of(voice), updated=time.time(), **changes)
                write_file(path / FACTS, facts_file(facts))
            if new_id is not None and new_id != path.name:
                os.rename(path, self.folder / new_id)
                sync_folder(self.folder)
        return self.get(new_id or voice.id)

    def delete(self, id: str) -> None:
        """Remove the voice, damaged or not.

        Raises UnknownVoice, StorageFailed, and Conflict for a voice of `voice_folders`.
        """
        with storing(f"voice {id!r}"), exclusive(self.folder):
            remove(self._own(id))

    # ---- the folders ------------------------------------------------------------------------------------------------

    def _own(self, id: str) -> Path:
        """The folder of a voice that the library may change. Raises UnknownVoice, Conflict."""
        id, path = self._find(id)
        if path.parent != self.folder:
            raise Conflict(f"voice {id!r} is in a folder that the hub only reads (voice_folders)", voice=id)
        return path

    def _find(self, id: str) -> tuple[str, Path]:
        """The id in composed form, and its folder. Raises UnknownVoice."""
        with storing("the voices"):
            path = self._finder.find(id)
        id = unicodedata.normalize("NFC", id)
        if path is None:
            raise UnknownVoice(f"there is no stored voice {id[:100]!r}", voice=id[:200])
        return id, path

    def _look(self) -> Sequence[StoredVoice | VoiceProblem]:
        with storing("the voices"):
            paths = self._finder.all()
        for gone in set(self._known) - set(paths.values()):
            self._known.pop(gone, None)
            self._opened.forget(gone)
        return [self._look_at(id, path) for id, path in paths.items()]

    def _look_at(self, id: str, path: Path) -> StoredVoice | VoiceProblem:
        try:
            stamp = stamp_of(path)
            known = self._known.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            if not is_id(id):
                raise Damaged("the folder's name cannot be a voice id; rename it")
            return self._read(id, path, stamp).voice
        except Damaged as damage:
            found = VoiceProblem(id=id, problem=str(damage))
        except OSError as error:
            return VoiceProblem(id=id, problem=f"it cannot be read: {error.strerror}")
        self._known[path] = stamp, found
        return found

    def _read(self, id: str, path: Path, stamp: Stamp) -> Opened:
        """Decode the voice, whose files have `stamp`. Raises Damaged, OSError."""
        opened = open_folder(id, path, self.limits)
        self._remember(path, stamp, opened)
        return opened

    def _remember(self, path: Path, stamp: Stamp, opened: Opened) -> None:
        self._known[path] = stamp, opened.voice
        self._opened.put(path, stamp, opened)

    def _check_free(self, id: str, besides: str | None = None) -> None:
        taken = self._finder.like(id, besides)
        if taken is not None:
            raise Conflict(f"there is a voice {taken!r} already; choose another id, or delete it first", voice=taken)


def _unknown(id: str, problem: StoredVoice | VoiceProblem) -> UnknownVoice:
    reason = problem.problem if isinstance(problem, VoiceProblem) else ""
    return UnknownVoice(f"the stored voice {id[:100]!r} is damaged: {reason}; repair or replace it", voice=id[:200])


def _checked_texts(voice: StoredVoice, texts: dict[str, str]) -> dict[str, str]:
    known = [recording.file for recording in voice.recordings]
    for file in texts:
        if file not in known:
            raise InvalidRequest(f"voice {voice.id!r} has no recording {file[:100]!r}; it has: {', '.join(known)}")
    return {file: clean_transcript(text) or "" for file, text in texts.items()}
