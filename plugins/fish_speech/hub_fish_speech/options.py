"""The family's own options: of a request, of a model, and of the routes."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hub_fish_speech.capabilities import BACKEND


class FishOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`options` of a request."""

    chunk_length: (
        Annotated[
            int,
            Meta(ge=1, le=100_000, description="bytes of UTF-8 that are spoken in one go; longer text is split"),
        ]
        | None
    ) = None
    first_chunk: Annotated[int, Meta(ge=1, le=2048, description="frames (46 ms each) of the first piece of audio")] = 6
    largest_chunk: Annotated[
        int, Meta(ge=1, le=2048, description="frames of a piece at most; each is twice as long as the one before")
    ] = 64
    length_cap: Annotated[
        float,
        Meta(
            ge=0.0,
            le=10.0,
            description="factor on the length at which speech is cut, which is several times the usual length for its "
            "text; 0: no limit",
        ),
    ] = 1.0
    seeded_voice: Annotated[
        bool,
        Meta(
            description="without a voice or references: make up one voice from the seed, the same for every text, "
            "instead of another one each time"
        ),
    ] = False


class FishLoadOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[models.NAME.options]`."""

    concurrency: Annotated[int, Meta(ge=0, le=64, description="requests spoken at once; 0: 4 on a GPU, else 2")] = 0
    threads: Annotated[int, Meta(ge=0, le=256, description="CPU threads inside one step; 0: torch's own choice")] = 0
    max_seq_len: Annotated[
        int, Meta(ge=0, le=1_000_000, description="positions of prompt and speech together; 0: the checkpoint's")
    ] = 0
    codec: Annotated[str, Meta(description="file of the codec's weights; default: found beside the language model")] = (
        ""
    )
    warm_up: Annotated[
        bool,
        Meta(
            description="speak a word while loading, and on a GPU capture all graphs, so that no request waits for one"
        ),
    ] = True


class CompatOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """`[compat.fish_speech.options]`."""

    max_text_length: Annotated[int, Meta(ge=0, description="most characters of a text; 0: the hub's own limit")] = 0


class RouteOptions(Struct, kw_only=True, frozen=True):
    """Options of all routes: the `backend` whose models speak; `max_text_length` as in CompatOptions."""

    backend: str = BACKEND
    max_text_length: int = 0

    @property
    def is_own_backend(self) -> bool:
        """True if this family's models speak; only they take its request options."""
        return self.backend == BACKEND
