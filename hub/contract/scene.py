"""Scenes: stored settings for requests."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Scene(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A stored description with a cast.

    `text` describes the scene for models that read one; `cast` is speaker tag -> voice id, for dialogue; `defaults`
    are fields of a SpeechRequest (speed, instruct, language, ...) that apply where a request leaves them out.
    """

    id: str
    text: str = ""
    cast: dict[str, str] = {}
    defaults: dict[str, Any] = {}


NOT_BY_DEFAULT = {"text", "turns", "references", "scene", "stream", "format"}
"""Fields that a scene cannot set for a request."""
