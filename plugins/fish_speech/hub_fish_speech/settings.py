"""What the routes can be told: `[compat.fish_speech.options]`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

BACKEND = "fish_speech"


class CompatOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[compat.fish_speech.options]`."""

    max_text_length: Annotated[int, Meta(ge=0, description="characters of one text; 0: as many as the hub takes")] = 0


class RouteSettings(Struct, kw_only=True, frozen=True):
    """What all routes share. `backend` is whose models speak; the family's own fields go to `own` only."""

    backend: str = BACKEND
    own: str = BACKEND
    max_text_length: int = 0
