"""The hub's models and voices behind OpenAI's names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

from hub.contract import errors as fault

if TYPE_CHECKING:
    from hub.plugin.host import Host, HostModel

MODEL_ALIAS = re.compile(r"(?:tts-1|tts-1-hd|gpt-4o-mini-tts)(?:-\d[\d-]*)?").fullmatch
VOICE_ALIASES = frozenset(
    ("alloy", "ash", "ballad", "coral", "echo", "fable", "onyx", "nova", "sage", "shimmer", "verse", "marin", "cedar")
)


class VoiceId(Struct, forbid_unknown_fields=True):
    """A custom voice, as OpenAI names it."""

    id: str


def find_model(hub: Host, name: str) -> HostModel:
    """Return the model of this name; for OpenAI's names, the default model. Raises UnknownModel, InvalidRequest."""
    if MODEL_ALIAS(name) and name not in {model.name for model in hub.models}:
        return hub.models.get(None)
    if not name:
        raise fault.InvalidRequest("`model` is empty; GET /v1/models lists the models", field="model")
    return hub.models.get(name)


async def find_voice(model: HostModel, voice: str | VoiceId) -> str | None:
    """Return the voice to ask for; None, the model's default, for an OpenAI name that the model does not have."""
    name = voice.id if isinstance(voice, VoiceId) else voice
    if name in VOICE_ALIASES and name not in {known.id for known in await model.voices()}:
        return None
    return name
