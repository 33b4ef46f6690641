"""The options of requests, of models and of CosyVoice's own routes."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Mode = Literal["sft", "zero_shot", "cross_lingual", "instruct", "instruct2"]

Scheme = Literal["consistent", "official"]


class CosyVoiceOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`options` of a request."""

    mode: (
        Annotated[
            Mode,
            Meta(description="how the model is prompted; default: it follows from voice, transcript and instruct"),
        ]
        | None
    ) = None
    text_frontend: Annotated[
        bool, Meta(description="write numbers in words and split long texts, as the model's own front end does")
    ] = True
    streaming: (
        Annotated[
            Scheme,
            Meta(
                description="how a streamed answer is cut: consistent has no seams, official is CosyVoice's own "
                "scheme; default: the model's"
            ),
        ]
        | None
    ) = None


class CosyVoiceLoadOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[models.NAME.options]`."""

    language_model: Annotated[
        Literal["standard", "rl"], Meta(description="llm.pt, or the third generation's llm.rl.pt")
    ] = "standard"
    variant: Annotated[
        Literal["auto", "base", "sft", "instruct"],
        Meta(description="which CosyVoice-300M it is: only instruct follows instructions; auto decides by the path"),
    ] = "auto"
    normaliser: Annotated[
        Literal["auto", "wetext", "builtin"],
        Meta(description="what writes numbers in words; auto: wetext if it is installed"),
    ] = "auto"
    streaming: Annotated[Scheme, Meta(description="the scheme of requests that name none")] = "consistent"
    longest: Annotated[
        float, Meta(ge=0.5, le=300, description="seconds that one segment may last; longer ones are cut and reported")
    ] = 300.0
    concurrency: Annotated[int, Meta(ge=1, le=64, description="requests that are spoken at once")] = 4


class CompatOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[compat.cosyvoice.options]`: how CosyVoice's own routes behave."""

    model: Annotated[
        str,
        Meta(
            description="the model that answers; default: the hub's default model if it is a CosyVoice, else the first"
        ),
    ] = ""
    stream: Annotated[
        bool,
        Meta(description="make audio while tokens are still written; false: sentence by sentence, as CosyVoice's own"),
    ] = True
    cors: Annotated[bool, Meta(description="let web pages of any origin call, as CosyVoice's own server does")] = True
