"""Higgs Audio v2 for tts-hub: the hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub import BackendSpec, hookimpl
from hub_higgs_audio.capabilities import BACKEND, CAPABILITIES
from hub_higgs_audio.options import CompatOptions, HiggsOptions
from hub_higgs_audio.releases import CHECKPOINTS, LICENCE

if TYPE_CHECKING:
    import click
    from litestar.types import ControllerRouterHandler
    from msgspec import Struct

    from hub.plugin.host import Host
    from hub.settings import Settings


@hookimpl
def register_backends(settings: Settings) -> list[BackendSpec]:
    """The Higgs Audio backend; its models need a `path`."""
    return [
        BackendSpec(
            name=BACKEND,
            synthesizer="hub_higgs_audio.synthesizer:HiggsAudio",
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
def register_routes(hub: Host) -> list[ControllerRouterHandler]:
    """The HTTP API that users of Higgs Audio servers know."""
    from hub_higgs_audio.routes import make_routes

    return make_routes(hub)


@hookimpl
def register_compat_options() -> type[Struct]:
    """The Struct of `[compat.higgs_audio.options]`."""
    return CompatOptions


@hookimpl
def register_commands(cli: click.Group) -> None:
    """`ttshub higgs`."""
    from hub_higgs_audio.commands import higgs

    cli.add_command(higgs)
