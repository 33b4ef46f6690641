"""VoiceLibrary: the voices that the hub keeps, as plain folders that may also be made, changed and removed by hand.

Those of the settings' `voice_folders` are there too, and only read. A voice is looked at when it is asked for, and
decoded again only if one of its files changed. A damaged one is reported beside the others and hides none of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.audio.decode import DecodeLimits
from hub.contract.backend import Capabilities
from hub.contract.errors import BackendFailed, Conflict, InvalidRequest, UnknownVoice, UnsupportedCapability
from hub.contract.speech import Reference, VoicePart
from hub.contract.voice import StoredVoice, VoiceDraft
from hub.plugin.manager import Plugins
from hub.service.folder import data_folder, exclusive, remove, storing, sweep, sync_folder, write_file, write_folder
from hub.service.models import Model
from hub.service.prepared import PreparedCache, prepared_key
from hub.service.voice_fit import VoiceFit, unfitness
from hub.service.voice_folder import (
    FACTS,
    MOST_RECORDINGS,
    Damaged,
    Facts,
    Opened,
    Stamp,
    clean_transcript,
    facts_file,
    facts_of,
    files_of,
    open_folder,
    stamp_of,
)
from hub.service.voice_ids import check_id, folded, is_id
from hub.settings import Settings


class VoiceProblem(Struct, kw_only=True, frozen=True):
    """A folder among the voices that holds none that can be used, and why."""

    id: str
    problem: str


class VoiceLibrary:
    """All methods but `references`, `prepared` and `state` read or write files: call them in a thread."""

    def __init__(
        self,
        folder: Path,
        limits: DecodeLimits,
        cache: PreparedCache,
        plugins: Plugins,
        further: Sequence[Path] = (),
    ) -> None:
        self.folder = folder
        self.further = further
        self.limits = limits
        self._cache = cache
        self._plugins = plugins
        self._known: dict[Path, tuple[Stamp, StoredVoice | VoiceProblem]] = {}
        self._making: dict[str, asyncio.Task[bytes]] = {}

    @classmethod
    def build(cls, settings: Settings, plugins: Plugins) -> VoiceLibrary:
        """The library below the settings' data folder. Touches no file."""
        data = data_folder(settings)
        limits = DecodeLimits(bytes=settings.limits.body_bytes, seconds=settings.limits.reference_seconds)
        cache = PreparedCache(data / "cache" / "prepared", settings.limits.prepared_bytes)
        return cls(data / "voices", limits, cache, plugins, [Path(place) for place in settings.voice_folders])

    def recover(self) -> None:
        """Clear what a death in the middle of a write left behind. Once, at the start."""
        with storing("the voices"):
            if self.folder.is_dir():
                with exclusive(self.folder):
                    sweep(self.folder)
            self._cache.sweep()

    # ---- reading ----------------------------------------------------------------------------------------------------

    def list(self) -> list[StoredVoice]:
        """All voices, by id."""
        return [found for found in self._look() if isinstance(found, StoredVoice)]

    def problems(self) -> Sequence[VoiceProblem]:
        """The folders that hold no voice that can be used."""
        return [found for found in self._look() if isinstance(found, VoiceProblem)]

    def has(self, id: str) -> bool:
        """Whether there is a folder for this id, sound or not."""
        with storing("the voices"):
            return unicodedata.normalize("NFC", id) in self._places()

    def get(self, id: str) -> StoredVoice:
        """The voice of this id. Raises UnknownVoice, also for a damaged one, with what is wrong with it."""
        place = self._place(id)
        found = self._look_at(*place)
        if isinstance(found, StoredVoice):
            return found
        raise _unknown(id, found)

    def open(self, id: str) -> Opened:
        """The voice and its recordings, decoded to mono 32-bit float WAV. Raises UnknownVoice."""
        id, path = self._place(id)
        try:
            with storing(f"voice {id!r}"):
                return open_folder(id, path, self.limits)
        except Damaged as damage:
            raise _unknown(id, VoiceProblem(id=id, problem=str(damage))) from None

    def recording(self, id: str, number: int) -> tuple[str, bytes]:
        """The name and the content of a recording's file, as it is stored. Raises UnknownVoice, InvalidRequest."""
        voice = self.get(id)
        if not 0 <= number < len(voice.recordings):
            raise InvalidRequest(f"voice {voice.id!r} has {len(voice.recordings)} recordings, counted from 0")
        name = voice.recordings[number].file
        with storing(f"voice {voice.id!r}"):
            return name, (self._place(voice.id)[1] / name).read_bytes()

    async def references(self, id: str) -> tuple[Reference, ...]:
        """The recordings of a voice as synthesizers get them. Raises UnknownVoice."""
        return (await asyncio.to_thread(self.open, id)).references

    # ---- models -----------------------------------------------------------------------------------------------------

    def fit(self, voice: StoredVoice, model: str, capabilities: Capabilities) -> VoiceFit:
        """Whether a model with these capabilities can speak as `voice`."""
        reason = unfitness(voice.recordings, voice.language, model, capabilities)
        return VoiceFit(usable=not reason, reason=reason)

    async def prepared(self, model: Model, id: str) -> bytes | None:
        """What `make_voice` of `model` makes of the voice; None if it makes nothing. Loads the model."""
        opened = await asyncio.to_thread(self.open, id)
        async with model.hold():
            return await self.state(model, opened)

    async def state(self, model: Model, opened: Opened) -> bytes | None:
        """The same, of a started model and a voice that has been opened. Made once, however many ask at once."""
        if not model.capabilities.cloning:
            return None
        draft = VoiceDraft(references=opened.references, language=opened.voice.language)

        async def make() -> bytes:
            try:
                return await model.engine.call("make_voice", draft) or b""
            except UnsupportedCapability:
                return b""  # this model clones from the references alone

        return await self._once(model, opened.voice.digest, make) or None

    async def mixed(self, model: Model, parts: Sequence[VoicePart]) -> bytes:
        """What `mix_voices` of a started model makes of `parts`. Raises BackendFailed if it makes nothing."""

        async def make() -> bytes:
            return bytes(await model.engine.call("mix_voices", parts))

        digest = hashlib.sha256(await asyncio.to_thread(msgspec.msgpack.encode, parts)).hexdigest()
        if state := await self._once(model, f"mix {digest}", make):
            return state
        raise BackendFailed(f"model {model.name!r} made nothing of this mixture; name one voice")

    async def _once(self, model: Model, digest: str, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """From the cache, else made by the first who asks."""
        key = await asyncio.to_thread(prepared_key, model, self._plugins, digest)
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(self._make(key, make), name="prepare a voice")
            task.add_done_callback(lambda task: self._made(key, task))
        return await asyncio.shield(task)  # whoever leaves does not take it from the others

    async def _make(self, key: str, make: Callable[[], Awaitable[bytes]]) -> bytes:
        state = await asyncio.to_thread(self._cache.get, key)
        if state is None:
            state = await make()
            await asyncio.to_thread(self._cache.put, key, state)
        return state

    def _made(self, key: str, task: asyncio.Task[bytes]) -> None:
        del self._making[key]
        if not task.cancelled():
            task.exception()  # whoever waits raises it; if nobody does any more, nobody wants to know

    # ---- writing ----------------------------------------------------------------------------------------------------

    def create(self, id: str, facts: Facts, references: tuple[Reference, ...]) -> StoredVoice:
        """Keep a new voice; `references` are decoded already. Raises InvalidRequest, Conflict, StorageFailed."""
        id = check_id(id)
        if not 1 <= len(references) <= MOST_RECORDINGS:
            raise InvalidRequest(f"a voice has 1 to {MOST_RECORDINGS} recordings, not {len(references)}")
        now = time.time()
        facts = replace(facts, created=now, updated=now)
        cleaned = tuple(replace(one, text=clean_transcript(one.text)) for one in references)
        with storing(f"voice {id!r}"), exclusive(self.folder):
            self._check_free(id)
            write_folder(self.folder / id, files_of(facts, cleaned))
        return self.get(id)

    def update(self, id: str, *, new_id: str | None = None, texts: dict[str, str] | None = None, **changes: Any) -> Any:
        """Change facts (`changes`: fields of Facts), transcripts (recording's file -> text) and the id; the voice.

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
        """Remove the voice, or what is left of a damaged one.

        Raises UnknownVoice, StorageFailed, and Conflict for a voice of `voice_folders`.
        """
        with storing(f"voice {id!r}"), exclusive(self.folder):
            remove(self._own(id))

    # ---- the folders ------------------------------------------------------------------------------------------------

    def _places(self) -> dict[str, Path]:
        """Id -> folder. The library's own voices come before those of `voice_folders`, these in their order."""
        places: dict[str, Path] = {}
        for folder in (self.folder, *self.further):
            places = {**_places_in(folder), **places}
        return dict(sorted(places.items()))

    def _own(self, id: str) -> Path:
        """The folder of a voice that is the library's to change. Raises UnknownVoice, Conflict."""
        id, path = self._place(id)
        if path.parent != self.folder:
            raise Conflict(f"voice {id!r} is in a folder that the hub only reads (voice_folders)", voice=id)
        return path

    def _place(self, id: str) -> tuple[str, Path]:
        with storing("the voices"):
            places = self._places()
        id = unicodedata.normalize("NFC", id)
        if id not in places:
            raise UnknownVoice(f"there is no stored voice {id[:100]!r}", voice=id[:200])
        return id, places[id]

    def _look(self) -> Sequence[StoredVoice | VoiceProblem]:
        with storing("the voices"):
            places = self._places()
        for path in set(self._known) - set(places.values()):
            self._known.pop(path, None)
        return [self._look_at(id, path) for id, path in places.items()]

    def _look_at(self, id: str, path: Path) -> StoredVoice | VoiceProblem:
        try:
            stamp = stamp_of(path)
            known = self._known.get(path)
            if known is not None and known[0] == stamp:
                return known[1]
            if not is_id(id):
                raise Damaged("the folder's name cannot be a voice id; rename it")
            found: StoredVoice | VoiceProblem = open_folder(id, path, self.limits).voice
        except Damaged as damage:
            found = VoiceProblem(id=id, problem=str(damage))
        except OSError as error:
            return VoiceProblem(id=id, problem=f"it cannot be read: {error.strerror}")
        self._known[path] = stamp, found
        return found

    def _check_free(self, id: str, besides: str | None = None) -> None:
        wanted = folded(id)
        taken = next((one for one in self._places() if folded(one) == wanted and one != besides), None)
        if taken is not None:
            raise Conflict(f"there is a voice {taken!r} already; choose another id, or delete it first", voice=taken)


def _places_in(folder: Path) -> dict[str, Path]:
    """Id -> folder. Of two names that are one in composed form, the composed one counts."""
    try:
        entries = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except FileNotFoundError:
        return {}
    places: dict[str, Path] = {}
    for name in entries:
        id = unicodedata.normalize("NFC", name)
        if not name.startswith(".") and (id not in places or id == name):
            places[id] = folder / name
    return places


def _unknown(id: str, problem: StoredVoice | VoiceProblem) -> UnknownVoice:
    reason = problem.problem if isinstance(problem, VoiceProblem) else ""
    return UnknownVoice(f"the stored voice {id[:100]!r} is damaged: {reason}; repair or replace it", voice=id[:200])


def _checked_texts(voice: StoredVoice, texts: dict[str, str]) -> dict[str, str]:
    known = [recording.file for recording in voice.recordings]
    for file in texts:
        if file not in known:
            raise InvalidRequest(f"voice {voice.id!r} has no recording {file[:100]!r}; it has: {', '.join(known)}")
    return {file: clean_transcript(text) or "" for file, text in texts.items()}
