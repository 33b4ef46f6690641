"""The hub's embedded voice: hibari-tts, an English neural voice whose weights are in its wheel.

This module only registers the backend; `hub.builtin.hibari.synthesizer` is the worker side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta, Struct

from hub.contract.backend import BackendSpec, Capabilities
from hub.plugin.spec import hookimpl

if TYPE_CHECKING:
    from hub.settings import Settings


class HibariOptions(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Options of a request."""

    inline_phonemes: Annotated[
        bool, Meta(description="read [word](/phonemes/) as phonemes; otherwise it is ordinary text")
    ] = False


@hookimpl
def register_backends(settings: Settings) -> list[BackendSpec]:
    """Register the hibari backend, and the model `hibari` that a hub without configuration serves."""
    return [
        BackendSpec(
            name="hibari",
            synthesizer="hub.builtin.hibari.synthesizer:HibariSynthesizer",
            contract=1,
            title="Hibari",
            description="A small English neural voice for the CPU, with its weights in its wheel: no downloads.",
            capabilities=Capabilities(
                sample_rate=24_000, languages=("en",), preset_voices=True, streaming=True, speed=True, seed=True
            ),
            options=HibariOptions,
            default_models={"hibari": {}},
            licence="Apache-2.0",
            homepage="https://github.com/MMWilliams/hibari",
        )
    ]
