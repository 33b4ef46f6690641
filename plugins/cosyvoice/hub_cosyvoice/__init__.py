"""CosyVoice for tts-hub: 300M, 2 and 3. This module registers hooks and imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub import BackendSpec, hookimpl
from hub_cosyvoice.capabilities import BACKEND, CAPABILITIES
from hub_cosyvoice.options import CompatOptions, CosyVoiceOptions
from hub_cosyvoice.releases import CHECKPOINTS, LICENCE

if TYPE_CHECKING:
    import click
    from litestar.types import ControllerRouterHandler
    from msgspec import Struct

    from hub.plugin.host import Host
    from hub.settings import Settings


@hookimpl
def register_backends(settings: Settings) -> list[BackendSpec]:
    """The cosyvoice backend. Its models need a `path`: the folder of a checkpoint."""
    return [
        BackendSpec(
            name=BACKEND,
            synthesizer="hub_cosyvoice.synthesizer:CosyVoice",
            contract=1,
            title="CosyVoice",
            description="Clones a voice from seconds of it, follows instructions, speaks while its text arrives.",
            capabilities=CAPABILITIES,
            options=CosyVoiceOptions,
            checkpoints=CHECKPOINTS,
            licence=f"weights: {LICENCE}",
            homepage="https://github.com/FunAudioLLM/CosyVoice",
        )
    ]


@hookimpl
def register_routes(hub: Host) -> list[ControllerRouterHandler]:
    """CosyVoice's own HTTP API."""
    from hub_cosyvoice.routes import make_routes

    return make_routes(hub)


@hookimpl
def register_compat_options() -> type[Struct]:
    """The options of `[compat.cosyvoice.options]`."""
    return CompatOptions


@hookimpl
def register_commands(cli: click.Group) -> None:
    """`ttshub cosyvoice serve` and `client`."""
    from hub_cosyvoice.commands import add_commands

    add_commands(cli)
