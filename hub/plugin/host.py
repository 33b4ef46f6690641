"""Host: the hub as plugins see it. Hooks, routes, task kinds and commands get it as `hub`.

This module is part of the plugin API (docs/plugin-api.md): it stays while `CONTRACT` stays. The hub's own objects have
more attributes; those may change with any release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from hub.contract.backend import BackendSpec, Capabilities, Loaded
from hub.contract.conversion import ConversionRequest
from hub.contract.scene import Scene
from hub.contract.speaking import Speaking
from hub.contract.speech import Reference, ResolvedRequest, SpeechRequest
from hub.contract.task import Task
from hub.contract.tokens import Encoded, Tokens
from hub.contract.voice import StoredVoice, Voice, VoiceFit, VoiceUpload, VoiceView
from hub.settings import ModelSettings, Settings

if TYPE_CHECKING:
    from msgspec import Struct

    from hub.audio.container import EncoderSpec
    from hub.text.live_text import LiveText


class ModelState(Protocol):
    """A snapshot of a model."""

    @property
    def state(self) -> str:
        """`stopped`, `starting`, `ready`, `backing_off` or `broken`."""
        ...

    @property
    def device(self) -> str:
        """`cpu`, `mps`, or a GPU such as `cuda:0`."""
        ...

    @property
    def running(self) -> int:
        """The number of requests that the model is working on."""
        ...

    @property
    def waiting(self) -> int:
        """The number of requests in its lane."""
        ...

    @property
    def concurrency(self) -> int:
        """The number of requests that it can work on at once."""
        ...

    @property
    def memory(self) -> int | None:
        """The memory of `device` that the model occupies, in bytes; None if unknown."""
        ...


class HostModel(Protocol):
    """A configured model."""

    @property
    def name(self) -> str:
        """Its name in requests."""
        ...

    @property
    def spec(self) -> BackendSpec:
        """Its backend."""
        ...

    @property
    def settings(self) -> ModelSettings:
        """Its settings, `[models.NAME]`."""
        ...

    @property
    def loaded(self) -> Loaded | None:
        """The facts that it reported at its last load; None before its first load."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of its checkpoint; those of the backend before its first load."""
        ...

    @property
    def default_voice(self) -> str:
        """The preset that speaks when a request names no voice; "" if there is none."""
        ...

    async def start(self, until: float | None = None, *, why: str = "a plugin asked") -> Loaded:
        """Load it if it is not loaded, by loop time `until`; `why` goes into its history. Raises HubError."""
        ...

    async def unload(self, *, until: float | None = None, force: bool = False, why: str = "a plugin asked") -> None:
        """End its worker after its current requests, or at once with `force`. Raises DeadlineExceeded."""
        ...

    async def voices(self) -> tuple[Voice, ...]:
        """Return its presets, loading it if it was never loaded."""
        ...

    async def lull(self, patience: float) -> None:
        """Wait until the model has a free place and an empty queue, for `patience` seconds at most."""
        ...

    def status(self) -> ModelState:
        """Return its current state."""
        ...


class HostModels(Protocol):
    """All configured models."""

    @property
    def default(self) -> HostModel | None:
        """The model for requests that name none."""
        ...

    def get(self, name: str | None) -> HostModel:
        """Return the model of this name; None or "" is the default model. Raises UnknownModel."""
        ...

    def able(self, name: str | None, capability: str) -> HostModel:
        """Return the model as `get` does; without a name, the default model if it is able, else the first that is."""
        ...

    def __iter__(self) -> Iterator[HostModel]: ...

    def __len__(self) -> int: ...


class HostVoices(Protocol):
    """The stored voices. Every method but `references` reads or writes files: call it in a thread."""

    def list(self) -> Sequence[StoredVoice]:
        """Return all voices, sorted by id."""
        ...

    def has(self, id: str) -> bool:
        """Return True if there is a stored voice of this id."""
        ...

    def get(self, id: str) -> StoredVoice:
        """Return the voice of this id. Raises UnknownVoice."""
        ...

    async def references(self, id: str) -> tuple[Reference, ...]:
        """Return its recordings as synthesizers get them. Raises UnknownVoice."""
        ...

    def recording(self, id: str, number: int) -> tuple[str, bytes]:
        """Return the name and content of a recording's file. Raises UnknownVoice, InvalidRequest."""
        ...

    def fit(self, voice: StoredVoice, model: str, capabilities: Capabilities) -> VoiceFit:
        """Check if a model with these capabilities can use `voice`; if not, the result says why."""
        ...

    def update(
        self, id: str, *, new_id: str | None = None, texts: dict[str, str] | None = None, **changes: Any
    ) -> StoredVoice:
        """Change facts, transcripts (file -> text) and the id. Raises UnknownVoice, InvalidRequest, Conflict."""
        ...

    def delete(self, id: str) -> None:
        """Delete the voice. Raises UnknownVoice, Conflict, StorageFailed."""
        ...


class HostScenes(Protocol):
    """The scenes. Both methods read files: call them in a thread."""

    def list(self) -> Sequence[Scene]:
        """Return all scenes, sorted by id."""
        ...

    def get(self, id: str) -> Scene:
        """Return the scene of this id. Raises UnknownScene."""
        ...


class HostTasks(Protocol):
    """The tasks; with API keys, only those of the caller's key. Every method may raise StorageFailed, Unavailable."""

    async def submit(self, kind: str, body: Any) -> tuple[Task, bool]:
        """Accept a task of `kind`; return it, and True if it is new. Raises Conflict, Busy, HubError."""
        ...

    async def get(self, id: str) -> Task:
        """Return the current state of a task. Raises NotFound."""
        ...

    async def page(
        self, *, state: str | None = None, kind: str | None = None, before: str | None = None, limit: int = 50
    ) -> list[Task]:
        """Return tasks, newest first; with `before`, only those older than that task."""
        ...

    async def cancel(self, id: str) -> Task:
        """Stop a task. Raises NotFound, Conflict."""
        ...

    async def delete(self, id: str) -> None:
        """Delete a task and its result, after cancelling it if it is unfinished. Raises NotFound."""
        ...

    def folder_of(self, id: str) -> Path:
        """Return the folder of a task's result."""
        ...


class Host(Protocol):
    """A running hub. Call all methods in its event loop."""

    @property
    def settings(self) -> Settings:
        """All settings."""
        ...

    @property
    def data_folder(self) -> Path:
        """The hub's data folder, which may not exist yet; a plugin keeps its own files below `compat/PLUGIN`."""
        ...

    @property
    def models(self) -> HostModels:
        """The configured models."""
        ...

    @property
    def voices(self) -> HostVoices:
        """The stored voices."""
        ...

    @property
    def scenes(self) -> HostScenes:
        """The scenes."""
        ...

    @property
    def tasks(self) -> HostTasks:
        """The tasks."""
        ...

    @property
    def encoders(self) -> Mapping[str, EncoderSpec]:
        """The audio containers, including those of plugins."""
        ...

    @property
    def compat_options(self) -> Mapping[str, Struct]:
        """Plugin -> `[compat.PLUGIN.options]`; read it with `hub.api.family.options_of`."""
        ...

    async def vet(self, request: SpeechRequest) -> ResolvedRequest:
        """Check a request as far as possible now; return it with its scene's entries and its model's name.

        Checks that need the loaded model are made only if it is loaded. Raises HubError, as `speak` would.
        """
        ...

    async def speak(self, request: SpeechRequest, *, request_id: str = "") -> Speaking:
        """Speak; return as soon as the first audio has arrived and passed its checks. Raises HubError."""
        ...

    async def speak_live(
        self, request: SpeechRequest, text: LiveText, *, request_id: str = "", words: bool = False
    ) -> Speaking:
        """Speak `text` while it arrives; `request` has no text. With `words` there is a mark for each word."""
        ...

    async def convert(self, request: ConversionRequest, *, request_id: str = "") -> Speaking:
        """Say a recording again as another voice."""
        ...

    async def encode(self, audio: bytes, *, model: str | None = None, request_id: str = "") -> Encoded:
        """Return the tokens of a recording, made by a model with a codec. Raises HubError."""
        ...

    async def decode(self, tokens: Tokens, *, model: str | None = None, request_id: str = "") -> Speaking:
        """Return the audio of tokens, made by a model with a codec. Raises HubError."""
        ...

    async def all_voices(self) -> Sequence[VoiceView]:
        """Return presets and stored voices with the models that can use them; models never loaded add no presets."""
        ...

    async def model_for(self, voice: str, name: str | None = None) -> HostModel:
        """Return the model called `name`; without a name the default model if it can use `voice`, else one that can.

        Raises UnknownModel, UnknownVoice.
        """
        ...

    async def keep_voice(self, upload: VoiceUpload) -> StoredVoice:
        """Check, decode and store a new voice. Raises HubError."""
        ...
