"""Scenes: where and how something is said, and by whom."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Scene(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A stored description with a cast.

    `text` describes the scene for models that read one; `cast` is speaker tag -> voice id, for dialogue; `defaults`
    are fields of a SpeechRequest (speed, instruct, language, ...) that hold where a request says nothing.
    """

    id: str
    text: str = ""
    cast: dict[str, str] = {}
    defaults: dict[str, Any] = {}


NOT_BY_DEFAULT = {"text", "turns", "references", "scene", "stream", "format"}
"""What a scene cannot say for a request."""
