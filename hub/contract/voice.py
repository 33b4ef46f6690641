"""Voices: who speaks."""

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


class VoiceDraft(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What `Synthesizer.make_voice` prepares a state from: checked references, in the order given."""

    references: tuple[Reference, ...]
    language: str | None = None
