"""What the routes can be told: `[compat.gpt_sovits.options]`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

BACKEND = "gpt_sovits"


class CompatOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[compat.gpt_sovits.options]`."""

    model: Annotated[str, Meta(description="which model answers; default: the first of this backend")] = ""
    roots: Annotated[
        tuple[str, ...], Meta(description="folders with recordings that requests may name, besides `references.roots`")
    ] = ()
    control: Annotated[bool, Meta(description="whether /control may restart the models and end the hub")] = False
    page: Annotated[str, Meta(description="where a visitor of / is sent; default: the hub's documentation")] = "/docs"
    refer_wav_path: Annotated[str, Meta(description="recording of requests that name none")] = ""
    prompt_text: Annotated[str, Meta(description="what is said in it")] = ""
    prompt_language: Annotated[str, Meta(description="its language, in either dialect's words")] = ""
    text_language: Annotated[str, Meta(description="language of texts that come without one")] = "auto"
