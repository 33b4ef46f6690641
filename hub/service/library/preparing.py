"""Preparing: the state that a model makes of a stored voice before it speaks with it, made once and kept."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec.structs import replace

from hub.contract.errors import BackendFailed, BackendUnavailable, UnsupportedCapability
from hub.contract.speech import CastVoice, Reference, VoicePart
from hub.contract.voice import StoredVoice, VoiceDraft
from hub.plugin.manager import Plugins
from hub.service.disk.folder import data_folder, storing
from hub.service.library.prepared import PreparedCache, model_identity, prepared_key
from hub.service.library.voice_folder import Opened
from hub.service.library.voices import VoiceLibrary
from hub.service.models.model import Model
from hub.settings import Settings


class Preparing:
    """The prepared states of the library's voices. All methods belong to one event loop."""

    def __init__(self, library: VoiceLibrary, cache: PreparedCache, plugins: Plugins) -> None:
        self._library = library
        self._cache = cache
        self._plugins = plugins
        self._making: dict[str, asyncio.Task[bytes]] = {}

    @classmethod
    def build(cls, settings: Settings, library: VoiceLibrary, plugins: Plugins) -> Preparing:
        """With a cache below the settings' data folder. Touches no file."""
        folder = data_folder(settings) / "cache" / "prepared"
        return cls(library, PreparedCache(folder, settings.limits.prepared_bytes), plugins)

    def recover(self) -> None:
        """Remove what interrupted writes left behind. Call it once, at the start, in a thread."""
        with storing("the prepared voices"):
            self._cache.sweep()

    async def voice(self, model: Model, id: str) -> CastVoice:
        """A stored voice as the loaded `model` gets it. Raises UnknownVoice, or what `make_voice` raises.

        Where the model declares that the prepared state suffices, recordings are not even decoded once there is one.
        """
        can = model.capabilities
        if can.cloning and can.prepared_suffices:
            voice = await asyncio.to_thread(self._library.get, id)
            key = self._key(model, voice.digest)
            if key not in self._making and (state := await asyncio.to_thread(self._cache.get, key)):
                return CastVoice(references=_silent(voice), prepared=state)
        opened = await asyncio.to_thread(self._library.open, id)
        state = await self._state(model, opened)
        references = _silent(opened.voice) if state and can.prepared_suffices else opened.references
        return CastVoice(references=references, prepared=state)

    async def prepared(self, model: Model, id: str) -> bytes | None:
        """The state that `make_voice` of `model` makes of the voice; None if it makes none. Loads the model."""
        async with model.hold():
            return (await self.voice(model, id)).prepared

    async def mixed(self, model: Model, parts: Sequence[VoicePart]) -> bytes:
        """The state that `mix_voices` of a started model makes of `parts`. Raises BackendFailed if it makes none."""

        async def make() -> bytes:
            return bytes(await model.engine.call("mix_voices", parts))

        digest = hashlib.sha256(await asyncio.to_thread(msgspec.msgpack.encode, parts)).hexdigest()
        if state := await self._once(self._key(model, f"mix {digest}"), make):
            return state
        raise BackendFailed(f"model {model.name!r} made nothing of this mixture; name one voice")

    async def _state(self, model: Model, opened: Opened) -> bytes | None:
        """The state that a started model makes of an opened voice. Made once, however many ask at once."""
        if not model.capabilities.cloning:
            return None
        draft = VoiceDraft(references=opened.references, language=opened.voice.language)

        async def make() -> bytes:
            try:
                return await model.engine.call("make_voice", draft) or b""
            except UnsupportedCapability:
                return b""  # this model clones from the references alone

        return await self._once(self._key(model, opened.voice.digest), make) or None

    def _key(self, model: Model, digest: str) -> str:
        """Return the name of the state that a started model makes of the voice or mixture with `digest`."""
        if model.loaded is None:
            raise BackendUnavailable(f"model {model.name!r} is not loaded")
        return prepared_key(model_identity(model, model.loaded, self._plugins), digest)

    async def _once(self, key: str, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """From the cache, else made by the first who asks."""
        task = self._making.get(key)
        if task is None:
            task = self._making[key] = asyncio.create_task(self._make(key, make), name="prepare a voice")
            task.add_done_callback(lambda task: self._made(key, task))
        return await asyncio.shield(task)  # a caller that leaves does not take it from the others

    async def _make(self, key: str, make: Callable[[], Awaitable[bytes]]) -> bytes:
        state = await asyncio.to_thread(self._cache.get, key)
        if state is None:
            state = await make()
            await asyncio.to_thread(self._cache.put, key, state)
        return state

    def _made(self, key: str, task: asyncio.Task[bytes]) -> None:
        del self._making[key]
        if not task.cancelled():
            task.exception()  # those who wait raise it; without any it is of no interest


def _silent(voice: StoredVoice) -> tuple[Reference, ...]:
    """The voice's references with their texts, without audio."""
    bare = Reference(audio=b"", language=voice.language)
    return tuple(replace(bare, text=recording.text) for recording in voice.recordings)
