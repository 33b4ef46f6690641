"""What a plugin declares (`BackendSpec`) and what its author implements (`Synthesizer`)."""

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
    """What a model can do. The hub asks this, never a backend's name.

    A request that needs what is not declared here is refused with `unsupported_capability`.
    `languages` are BCP 47 tags (empty: any); `sample_rate` is the model's output rate in Hz. What a model wants of
    reference recordings: `needs_transcript`, and the seconds between `min_reference` and `max_reference` (0: any).
    `phonemes`: it reads /phonemes/ in the text; `mixing`: it can blend voices (`Mixer`); `codec` and `conversion`: its
    synthesizer is a `Codec`, a `Converter`. `prepared_suffices`: what `make_voice` returns is all that it needs of a
    stored voice; the references that come with it then have their texts and no audio.
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
    """Weights that a backend loads and where they are published, for `ttshub pull`.

    `huggingface` and `modelscope` are repository ids ("" where it is not published); `revision` is a branch, tag or
    commit of the first, `modelscope_revision` of the second ("" is their default branch). `files` are patterns of the
    paths to fetch (`*` also crosses `/`; none: all); `sha256` pins files by path; `size` is about what is fetched, in
    bytes, `parts` included. `model` holds further keys of a `[models.NAME]` table that this checkpoint wants. `parts`
    are what it needs from other repositories: each is fetched into the folder of its name inside this one's. `github`
    is a repository of code that publishes some of it, such as tables; it is the source where it is named, whichever
    source was asked for. With `unpack`, zip and tar files are unpacked where they lie, and are not kept.
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
    for, as a number: it has no default, because that would always be the installed hub's own.
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
    """What a loaded model says of itself (the worker's Ready frame).

    `device` is where its weights are, if it says; `weights` changes when a file that prepares voices does.
    """

    contract: int
    capabilities: Capabilities
    voices: tuple[Voice, ...] = ()
    concurrency: int = 1
    device: str = ""
    weights: str = ""


class Stop(Protocol):
    """Asked by a synthesizer between its steps: is the caller gone?"""

    def is_set(self) -> bool:
        """True once nobody wants the rest; return from `speak` as soon as it is."""
        ...


@runtime_checkable
class Live(Protocol):
    """Optional, with `Capabilities.live_text`: text that arrives in pieces while it is spoken."""

    def speak_live(
        self, request: ResolvedRequest, pieces: Iterator[str], stop: Stop
    ) -> Iterator[AudioChunk | Mark | Done]:
        """Like `speak`, with the text from `pieces`, which blocks until the next piece is there and ends with the text.

        `request.text` is None. Spans count characters of all pieces joined.
        """
        ...


@runtime_checkable
class Mixer(Protocol):
    """Optional, with `Capabilities.mixing`: voices between voices."""

    def mix_voices(self, parts: list[VoicePart]) -> bytes:
        """The state of the blended voice, as `make_voice` would have made it; `speak` gets it without references."""
        ...


@runtime_checkable
class Codec(Protocol):
    """Optional, with `Capabilities.codec`: audio to tokens and back, without speaking.

    Each call takes a place as `speak` does, in a thread of its own, and cannot be stopped half-way.
    """

    def encode(self, audio: bytes) -> Tokens:
        """The tokens of a recording: mono 32-bit float WAV at its own sample rate, decoded and checked by the hub."""
        ...

    def decode(self, tokens: Tokens) -> AudioChunk:
        """The audio of tokens. Raise InvalidRequest for a number of codebooks or an id that the codec does not have."""
        ...


@runtime_checkable
class Converter(Protocol):
    """Optional, with `Capabilities.conversion`: a recording, said again by another voice."""

    def convert(self, request: ResolvedConversion, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Like `speak`: yield audio as soon as it exists; look at `stop` between steps. A Done may carry a report.

        There is a preset's id in `request.voice`, or there are `request.references` or a `request.prepared`. The
        references need no transcript here, whatever `needs_transcript` says of speaking.
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
    """All that a plugin author implements. It lives in a worker process; heavy imports are welcome there.

    Optional attributes, read after `load`: `capabilities` (what the loaded checkpoint can do, when that
    differs from the BackendSpec), `concurrency` (how many `speak` calls may run at once, each in a thread
    of its own; default 1), `device` (where the weights are, such as `cpu` or `cuda:0`, so that their memory is
    booked there; default: the device that the settings name), `memory` (a `Memory`) and `files` (paths of the files and
    folders whose weights prepare voices, such as a codec that an option names: when one changes, voices are prepared
    anew; default: all at `model.path`). Raise `hub.contract.errors` types for what the caller can mend. An error of the
    device is told by its class: out of memory, or broken, which ends the worker. Anything else is reported as
    `backend_failed`.
    """

    def load(self, model: ModelConfig) -> None:
        """Load weights and warm up. Called once, first."""
        ...

    def speak(self, request: ResolvedRequest, stop: Stop) -> Iterator[AudioChunk | Mark | Done]:
        """Yield audio as soon as it exists; look at `stop` between steps. A Done at the end may carry a report.

        The hub has validated the request against the capabilities, and `request.voice`, when set, is an id
        from `voices()`.
        """
        ...

    def voices(self) -> list[Voice]:
        """The presets of the loaded model; an empty list if it has none."""
        ...

    def make_voice(self, draft: VoiceDraft) -> bytes:
        """Prepare references into opaque state that the hub stores and caches (no pickles)."""
        ...

    def close(self) -> None:
        """Free everything; the process ends right after."""
        ...
