"""Higgs Audio v2 for tts-hub. This module registers; it imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hub import BackendSpec, Capabilities, hookimpl
from hub.contract.backend import Checkpoint
from hub_higgs_audio.options import HiggsOptions

if TYPE_CHECKING:
    import click
    from litestar.types import ControllerRouterHandler
    from msgspec import Struct

    from hub.settings import Settings

CAPABILITIES = Capabilities(
    sample_rate=24_000,
    preset_voices=True,
    cloning=True,
    cross_lingual=True,
    scene=True,
    dialogue=True,
    streaming=True,
    seed=True,
    sampling=True,
    codec=True,
)

LICENCE = "Boson Higgs Audio 2 Community License"

CODEC = Checkpoint(
    huggingface="bosonai/higgs-audio-v2-tokenizer",
    revision="9d4988fbd4ad07b4cac3a5fa462741a41810dbec",
    files=("config.json", "model.pth"),
    licence=LICENCE,
)

CHECKPOINTS = {
    "v2": Checkpoint(
        huggingface="bosonai/higgs-audio-v2-generation-3B-base",
        revision="10840182ca4ad5d9d9113b60b9bb3c1ef1ba3f84",
        files=("*.json", "*.safetensors"),
        size=12_300_000_000,
        licence=LICENCE,
        description="3B base and its codec, at the revisions from before both repositories were overwritten",
        parts={"codec": CODEC},
    ),
}


@hookimpl
def register_backends(settings: Settings) -> list[BackendSpec]:
    """The Higgs Audio backend; its models need a `path`."""
    return [
        BackendSpec(
            name="higgs_audio",
            synthesizer="hub_higgs_audio.synthesizer:HiggsSynthesizer",
            contract=1,
            title="Higgs Audio v2",
            description="A language model that speaks: clones from seconds of audio, dialogues, scenes, sounds.",
            capabilities=CAPABILITIES,
            options=HiggsOptions,
            checkpoints=CHECKPOINTS,
            licence=LICENCE,
            homepage="https://github.com/boson-ai/higgs-audio",
        )
    ]


@hookimpl
def register_routes(hub: Any) -> list[ControllerRouterHandler]:
    """The HTTP API that users of Higgs Audio servers know."""
    from hub_higgs_audio.routes import make_routes

    return make_routes(hub)


@hookimpl
def register_compat_options() -> type[Struct]:
    """What `[compat.higgs_audio.options]` may say."""
    from hub_higgs_audio.settings import CompatOptions

    return CompatOptions


@hookimpl
def register_commands(cli: click.Group) -> None:
    """`ttshub higgs`."""
    from hub_higgs_audio.commands import higgs

    cli.add_command(higgs)
