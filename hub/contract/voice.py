"""Voices: who speaks. Presets of models (`Voice`) and recordings that the hub keeps (`StoredVoice`)."""

from __future__ import annotations

from msgspec import Struct

from hub.contract.speech import Reference


class Voice(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A voice that a model offers.

    `id` is what requests name; `languages` are BCP 47 tags (empty: not known); `tags` are free words
    such as `female` or `narration`; `default` marks the model's own default.
    """

    id: str
    name: str = ""
    languages: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    description: str = ""
    default: bool = False


class Recording(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One recording of a stored voice. `file` is its name in the voice's folder; `seconds` and Hz are measured."""

    file: str
    text: str | None = None
    seconds: float = 0.0
    sample_rate: int = 0


class StoredVoice(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A voice of the library: recordings, what is said in them, and what is known about the speaker.

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
    """What `Synthesizer.make_voice` prepares a state from: checked references, in the order given."""

    references: tuple[Reference, ...]
    language: str | None = None
