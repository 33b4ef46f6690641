"""Voices: presets of models (`Voice`) and recordings that the hub stores (`StoredVoice`)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from hub.contract.speech import Reference


class Voice(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A voice that a model offers.

    `id` is its name in requests; `languages` are BCP 47 tags (empty: unknown); `tags` are free words such as `female`
    or `narration`; `default` marks the model's own default.
    """

    id: str
    name: str = ""
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    description: str = ""
    default: bool = False


class Recording(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One recording of a stored voice. `file` is its name in the voice's folder; `sample_rate` is in Hz."""

    file: str
    text: str | None = None
    seconds: float = 0.0
    sample_rate: int = 0


class StoredVoice(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A voice of the library: recordings, their transcripts, and facts about the speaker.

    `consent` notes who allowed the use; `digest` is a hash of the recordings and transcripts; times are seconds since
    the epoch.
    """

    id: str
    name: str = ""
    language: str | None = None
    tags: tuple[str, ...] = ()
    description: str = ""
    consent: str = ""
    recordings: tuple[Recording, ...] = ()
    digest: str = ""
    created: float = 0.0
    updated: float = 0.0


class VoiceDraft(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The input of `Synthesizer.make_voice`: checked references, in the order given."""

    references: tuple[Reference, ...]
    language: str | None = None


class VoiceFit(Struct, kw_only=True, frozen=True):
    """The answer to whether a model can use a voice; if not, `reason` says why."""

    usable: bool
    reason: str = ""


class VoiceView(Struct, kw_only=True, frozen=True):
    """A voice. Times are seconds since the epoch; presets have neither times nor recordings."""

    id: str
    kind: Literal["preset", "stored"]
    name: str
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    description: str = ""
    consent: Annotated[str, Meta(description="who allowed the use of a stored voice")] = ""
    recordings: tuple[Recording, ...] = ()
    digest: Annotated[str, Meta(description="changes with the recordings and transcripts")] = ""
    created: float | None = None
    updated: float | None = None
    default_of: Annotated[tuple[str, ...], Meta(description="models whose default this preset is")] = ()
    models: Annotated[dict[str, VoiceFit], Meta(description="model -> whether it can use the voice, and why not")] = {}


# -- what callers send to store a voice --------------------------------------------------------

MOST_RECORDINGS = 16

Title = Annotated[str, Meta(max_length=200)]
Note = Annotated[str, Meta(max_length=10_000)]
Tags = Annotated[tuple[Title, ...], Meta(max_length=64)]
Language = Annotated[
    str, Meta(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", description="BCP 47 tag, such as en or zh-CN")
]


class RecordingUpload(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One recording: exactly one of `audio`, `url` and `path`."""

    audio: (
        Annotated[bytes, Meta(description="an audio file: wav, flac, mp3, ogg, m4a, ... (base64 in JSON)")] | None
    ) = None
    url: Annotated[str, Meta(description="where to fetch it, if `references.urls` is on")] | None = None
    path: Annotated[str, Meta(description="a file of the hub's machine, below one of `references.roots`")] | None = None
    text: Annotated[str, Meta(description="transcript of the recording")] | None = None


class VoiceUpload(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A new voice: its recordings, and facts about it."""

    id: Annotated[str, Meta(description="letters and digits of any script, '-', '_', '.', spaces")]
    recordings: Annotated[tuple[RecordingUpload, ...], Meta(min_length=1, max_length=MOST_RECORDINGS)]
    name: Title = ""
    language: Language | None = None
    tags: Tags = ()
    description: Note = ""
    consent: Annotated[Note, Meta(description="who allowed the use")] = ""
