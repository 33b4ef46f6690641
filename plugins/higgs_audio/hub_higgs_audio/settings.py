"""What the routes can be told: `[compat.higgs_audio.options]`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

BACKEND = "higgs_audio"

DEFAULT_SCENE = "quiet_indoor"


class CompatOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[compat.higgs_audio.options]`."""

    model: Annotated[str, Meta(description="which model answers; default: the first of this backend")] = ""
    voice_prompts: Annotated[
        str, Meta(description="folder with NAME.wav and NAME.txt, read anew for each request; beside the hub's voices")
    ] = ""
    failures_as_200: Annotated[
        bool, Meta(description='whether /generate answers 200 with "success": false, as the original server does')
    ] = False
