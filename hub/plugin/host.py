"""Host: the hub as plugins see it. Hooks, routes, task kinds and commands get it as `hub`.

What is here is part of the plugin API (docs/plugin-api.md): it stays while `CONTRACT` stays. The hub itself has more;
what a plugin takes of that may change with any release.
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
    """A snapshot of a model. `memory` is what it holds of `device`, in bytes, where that is known."""

    @property
    def state(self) -> str:
        """`stopped`, `starting`, `ready`, `backing_off` or `broken`."""
        ...

    @property
    def device(self) -> str:
        """`cpu`, `mps` or a GPU, `cuda:0`."""
        ...

    @property
    def running(self) -> int:
        """Requests that the model works on."""
        ...

    @property
    def waiting(self) -> int:
        """Requests in its lane."""
        ...

    @property
    def concurrency(self) -> int:
        """Requests that it works on at once."""
        ...

    @property
    def memory(self) -> int | None:
        """Bytes."""
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
        """`[models.NAME]`."""
        ...

    @property
    def loaded(self) -> Loaded | None:
        """What it said of itself when it was last loaded; None before its first load."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """Of the loaded checkpoint once it has been loaded, of the backend before."""
        ...

    @property
    def default_voice(self) -> str:
        """The preset that speaks when a request names no voice; "" if there is none."""
        ...

    async def start(self, until: float | None = None, *, why: str = "a plugin asked") -> Loaded:
        """Load it, unless it is, at most until loop time `until`; `why` is kept in its ledger. Raises HubError."""
        ...

    async def unload(self, *, until: float | None = None, force: bool = False, why: str = "a plugin asked") -> None:
        """End its worker, when it has finished what it speaks, or with `force` at once. Raises DeadlineExceeded."""
        ...

    async def voices(self) -> tuple[Voice, ...]:
        """Its presets; loads it if it was never loaded."""
        ...

    async def lull(self, patience: float) -> None:
        """Wait until the model has a place free and no request queues for it, at most `patience` seconds."""
        ...

    def status(self) -> ModelState:
        """How it is now."""
        ...


class HostModels(Protocol):
    """All configured models."""

    @property
    def default(self) -> HostModel | None:
        """The model that answers requests without one."""
        ...

    def get(self, name: str | None) -> HostModel:
        """The model of this name; None or "" is the default model. Raises UnknownModel."""
        ...

    def able(self, name: str | None, capability: str) -> HostModel:
        """As `get`; without a name the default model if it has the capability, else the first that has it."""
        ...

    def __iter__(self) -> Iterator[HostModel]: ...

    def __len__(self) -> int: ...


class HostVoices(Protocol):
    """The stored voices. Every method but `references` reads or writes files: call it in a thread."""

    def list(self) -> Sequence[StoredVoice]:
        """All voices, by id."""
        ...

    def has(self, id: str) -> bool:
        """Whether there is a stored voice of this id."""
        ...

    def get(self, id: str) -> StoredVoice:
        """The voice of this id. Raises UnknownVoice."""
        ...

    async def references(self, id: str) -> tuple[Reference, ...]:
        """Its recordings as synthesizers get them. Raises UnknownVoice."""
        ...

    def recording(self, id: str, number: int) -> tuple[str, bytes]:
        """Name and content of a recording's file. Raises UnknownVoice, InvalidRequest."""
        ...

    def fit(self, voice: StoredVoice, model: str, capabilities: Capabilities) -> VoiceFit:
        """Whether a model with these capabilities can use `voice`, and why not."""
        ...

    def update(
        self, id: str, *, new_id: str | None = None, texts: dict[str, str] | None = None, **changes: Any
    ) -> StoredVoice:
        """Change facts, transcripts (file -> text) and the id. Raises UnknownVoice, InvalidRequest, Conflict."""
        ...

    def delete(self, id: str) -> None:
        """Remove it. Raises UnknownVoice, Conflict, StorageFailed."""
        ...


class HostScenes(Protocol):
    """The scenes. Both methods read files: call them in a thread."""

    def list(self) -> Sequence[Scene]:
        """All scenes, by id."""
        ...

    def get(self, id: str) -> Scene:
        """The scene of this id. Raises UnknownScene."""
        ...


class HostTasks(Protocol):
    """The tasks; with API keys, those of the caller's own key. Every method may raise StorageFailed, Unavailable."""

    async def submit(self, kind: str, body: Any) -> tuple[Task, bool]:
        """Accept a task of a kind; returns it, and whether it is new. Raises Conflict, Busy, HubError."""
        ...

    async def get(self, id: str) -> Task:
        """A task as it is now. Raises NotFound."""
        ...

    async def page(
        self, *, state: str | None = None, kind: str | None = None, before: str | None = None, limit: int = 50
    ) -> list[Task]:
        """Tasks, the newest first: those older than the task `before`."""
        ...

    async def cancel(self, id: str) -> Task:
        """Stop a task. Raises NotFound, Conflict."""
        ...

    async def delete(self, id: str) -> None:
        """Cancel a task if it is unfinished, and forget it with its result. Raises NotFound."""
        ...

    def folder_of(self, id: str) -> Path:
        """The folder of a task's result."""
        ...


class Host(Protocol):
    """A running hub. All methods belong to its event loop."""

    @property
    def settings(self) -> Settings:
        """All settings."""
        ...

    @property
    def data_folder(self) -> Path:
        """Where the hub keeps what it keeps; a plugin's own files go below `compat/PLUGIN`. It need not exist yet."""
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
        """The audio containers, those of plugins included."""
        ...

    @property
    def compat_options(self) -> Mapping[str, Struct]:
        """Plugin -> `[compat.PLUGIN.options]`; read it with `hub.api.family.options_of`."""
        ...

    async def vet(self, request: SpeechRequest) -> ResolvedRequest:
        """Check all that can be checked of a request now, and return it with what its scene says and its model by name.

        What only the loaded model knows is checked if it is loaded. Raises HubError, as `speak` would.
        """
        ...

    async def speak(self, request: SpeechRequest, *, request_id: str = "") -> Speaking:
        """Speak; returns as soon as the first audio has come and been checked. Raises HubError."""
        ...

    async def speak_live(
        self, request: SpeechRequest, text: LiveText, *, request_id: str = "", words: bool = False
    ) -> Speaking:
        """Speak `text` while it arrives; `request` has none. With `words` there is a mark for each word."""
        ...

    async def convert(self, request: ConversionRequest, *, request_id: str = "") -> Speaking:
        """Say a recording again as another voice."""
        ...

    async def encode(self, audio: bytes, *, model: str | None = None, request_id: str = "") -> Encoded:
        """The tokens of a recording, by a model with a codec. Raises HubError."""
        ...

    async def decode(self, tokens: Tokens, *, model: str | None = None, request_id: str = "") -> Speaking:
        """The audio of tokens, by a model with a codec. Raises HubError."""
        ...

    async def all_voices(self) -> Sequence[VoiceView]:
        """Presets and stored voices, each with the models that can use it; of a model never loaded no presets."""
        ...

    async def model_for(self, voice: str, name: str | None = None) -> HostModel:
        """The model to speak with `voice`: of this name, else the default one if it can, else the first that can.

        Raises UnknownModel, UnknownVoice.
        """
        ...

    async def keep_voice(self, upload: VoiceUpload) -> StoredVoice:
        """Check, decode and keep a new voice. Raises HubError."""
        ...
