"""The interface of a backend: what a plugin declares (`BackendSpec`) and implements (`Synthesizer`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from msgspec import Meta, Struct

from hub.contract.conversion import ResolvedConversion
from hub.contract.event import AudioChunk, Done, Mark
from hub.contract.speech import ResolvedRequest, VoicePart
from hub.contract.tokens import Tokens
from hub.contract.voice import Voice, VoiceDraft

CONTRACT = 1
"""Version of this contract: in every BackendSpec and in every worker's Ready frame."""

DEVICE = r"^(auto|cpu|mps|cuda(:\d{1,3})?)$"
"""The devices that a setting may name; `cuda` is the first GPU."""

Device = Annotated[str, Meta(pattern=DEVICE)]

Dtype = Literal["auto", "float32", "bfloat16", "float16"]


class Capabilities(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The abilities of a model. The hub decides by these, never by a backend's name.

    A request that needs an ability not declared here is refused with `unsupported_capability`.
    `languages` are BCP 47 tags (empty: any); `sample_rate` is the model's output rate in Hz. Reference recordings must
    have a transcript if `needs_transcript` is set, and last from `min_reference` to `max_reference` seconds (0: no
    bound). `phonemes`: the model reads /phonemes/ in the text; `mixing`: it can blend voices (`Mixer`); `codec` and
    `conversion`: its synthesizer is a `Codec`, a `Converter`. `prepared_suffices`: the model needs nothing of a stored
    voice but what `make_voice` returned; the references that come with it then have texts and no audio.
    """

    sample_rate: int = 0
    languages: tuple[str, ...] = ()
    preset_voices: bool = False
    cloning: bool = False
    needs_transcript: bool = False
    min_reference: float = 0.0
    max_reference: float = 0.0
    prepared_suffices: bool = False
    mixing: bool = False
    phonemes: bool = False
    cross_lingual: bool = False
    instruct: bool = False
    scene: bool = False
    dialogue: bool = False
    streaming: bool = False
    live_text: bool = False
    speed: bool = False
    seed: bool = False
    sampling: bool = False
    codec: bool = False
    conversion: bool = False


class Checkpoint(Struct, kw_only=True, frozen=True):
    """The weights that a backend loads and where they are published, for `ttshub pull`.

    `huggingface` and `modelscope` are repository ids ("" if it is not published there); `revision` is a branch, tag or
    commit of the first, `modelscope_revision` of the second ("" is the default branch). `files` are patterns of the
    paths to fetch (`*` also matches `/`; none: all); `sha256` pins files by path; `size` is the approximate download in
    bytes, including `parts`. `model` holds further keys that the checkpoint needs in its `[models.NAME]` table. `parts`
    are the files it needs from other repositories: each part is fetched into the subfolder of its name. `github` is a
    code repository that publishes some of the files, such as tables; where it is set, it is the source, whichever
    source the user chose. With `unpack`, zip and tar files are unpacked in place and then deleted.
    """

    huggingface: str = ""
    modelscope: str = ""
    github: str = ""
    revision: str = ""
    modelscope_revision: str = ""
    files: tuple[str, ...] = ()
    sha256: dict[str, str] = {}
    size: int = 0
    licence: str = ""
    description: str = ""
    model: dict[str, Any] = {}
    parts: dict[str, Checkpoint] = {}
    unpack: bool = False


class BackendSpec(Struct, kw_only=True, frozen=True):
    """One model family, as its plugin registers it.

    `synthesizer` is `module:Class`, a string, so that registering imports nothing heavy. `options` is the
    Struct that validates `SpeechRequest.options`; its schema is published. `default_models` are models
    that exist without any configuration (name -> ModelConfig keywords). `checkpoints` are the weights that can be
    pulled (variant -> Checkpoint), the recommended one first. `contract` is the version that the plugin was written
    for, written as a number: it has no default, because a default would always be the installed hub's version.
    """

    name: str
    synthesizer: str
    contract: int
    title: str = ""
    description: str = ""
    capabilities: Capabilities = Capabilities()
    options: type[Struct] | None = None
    default_models: dict[str, dict[str, Any]] = {}
    checkpoints: dict[str, Checkpoint] = {}
    licence: str = ""
    homepage: str = ""


class ModelConfig(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A configured instance of a backend, as `Synthesizer.load` gets it.

    `path` is a folder, a file or a hub id, as the backend documents; `device` is `auto`, `cpu`, `cuda`,
    `cuda:1`, `mps`; `dtype` is `auto`, `float32`, `bfloat16`, `float16`; `options` are the backend's own
    load-time options.
    """

    name: str
    backend: str = ""
    path: str = ""
    device: Device = "auto"
    dtype: Dtype = "auto"
    compile: bool = False
    options: dict[str, Any] = {}


class Loaded(Struct, kw_only=True, frozen=True):
    """The facts that a loaded model reports (the worker's Ready frame).

    `device` is where its weights are, or ""; `weights` changes when a file that prepares voices does.
    """

    contract: int
    capabilities: Capabilities
    voices: tuple[Voice, ...] = ()
    concurrency: int = 1
    device: str = ""
    weights: str = ""


class Stop(Protocol):
    """The flag that a synthesizer checks between its steps."""

    def is_set(self) -> bool:
        """True once the request is cancelled: return from `speak` then."""
        ...


@runtime_checkable
class Live(Protocol):
    """An optional ability, declared by `Capabilities.live_text`: text that arrives in pieces while it is spoken."""

    def speak_live(
        self, request: ResolvedRequest, pieces: Iterator[str], stop: Stop
    ) -> Iterator[AudioChunk | Mark | Done]:
        """Speak the text of `pieces`, an iterator that blocks until the next piece arrives; otherwise like `speak`.

        `request.text` is None. Spans count characters of the joined pieces.
        """
        ...


@runtime_checkable
class Mixer(Protocol):
    """An optional ability, declared by `Capabilities.mixing`: mixtures of voices."""

    def mix_voices(self, parts: list[VoicePart]) -> bytes:
        """Return the state of the blended voice, in the form of `make_voice`; `speak` gets it without references."""
        ...


@runtime_checkable
class Codec(Protocol):
    """An optional ability, declared by `Capabilities.codec`: audio to tokens and back.

    Each call takes a place as `speak` does, in a thread of its own, and cannot be stopped half-way.
    """

    def encode(self, audio: bytes) -> Tokens:
        """Return the tokens of `audio`: mono 32-bit float WAV at its own sample rate, which the hub has checked."""
        ...

    def decode(self, tokens: Tokens) -> AudioChunk:
        """Return the audio of `tokens`. Raise InvalidRequest for a number of codebooks or an id the codec lacks."""
        ...


@runtime_checkable
class Converter(Protocol):
    """An optional ability, declared by `Capabilities.conversion`: a recording, said again by another voice."""

    def convert(self, request: ResolvedConversion, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Yield audio as soon as it exists and check `stop` between steps, like `speak`. A Done may carry a report.

        `request.voice` is a preset's id, or `request.references` or `request.prepared` is set. The references need no
        transcript here, even if the model has `needs_transcript` for speech.
        """
        ...


@runtime_checkable
class Memory(Protocol):
    """Optional, as `Synthesizer.memory`: the memory of the model's device, as this process sees it.

    Both methods may be called from any thread, while requests are spoken.
    """

    def held(self) -> int | None:
        """Bytes of the device that this process holds; None if it cannot tell, and the hub asks the system."""
        ...

    def free(self) -> None:
        """Give back what is cached and not in use. Called after a request for which the device had no memory left."""
        ...


@runtime_checkable
class Synthesizer(Protocol):
    """The class that a plugin author implements. It lives in a worker process, so it may import heavy packages.

    Optional attributes, read after `load`: `capabilities` (what the loaded checkpoint can do, when that
    differs from the BackendSpec), `concurrency` (how many `speak` calls may run at once, each in a thread
    of its own; default 1), `device` (where the weights are, such as `cpu` or `cuda:0`, so that their memory is
    counted there; default: the device that the settings name), `memory` (a `Memory`) and `files` (paths of the files
    and folders whose weights prepare voices, such as a codec that an option names: when one changes, voices are
    prepared anew; default: all at `model.path`). Raise `hub.contract.errors` types for what the caller can correct.
    The worker recognises errors of the device by their class: out of memory, or a broken device, which ends the
    worker. The hub reports any other exception as `backend_failed`.
    """

    def load(self, model: ModelConfig) -> None:
        """Load the weights and warm up. The hub calls this once, before any other method."""
        ...

    def speak(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Yield audio as soon as it exists; check `stop` between steps. A Done at the end may carry a report.

        The hub has checked the request against the capabilities. `request.voice`, if set, is an id from `voices()`.
        """
        ...

    def voices(self) -> list[Voice]:
        """Return the presets of the loaded model; an empty list if it has none."""
        ...

    def make_voice(self, draft: VoiceDraft) -> bytes:
        """Prepare references into opaque state that the hub stores and caches (no pickles)."""
        ...

    def close(self) -> None:
        """Release everything; the process ends right after."""
        ...
