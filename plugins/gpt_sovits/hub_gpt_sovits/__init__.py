"""GPT-SoVITS v1, v2, v2Pro, v2ProPlus, v3 and v4 for tts-hub: the hooks. This module imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub import BackendSpec, hookimpl
from hub_gpt_sovits.capabilities import BACKEND, CAPABILITIES
from hub_gpt_sovits.options import CompatOptions, GptSovitsOptions
from hub_gpt_sovits.releases import CHECKPOINTS, LICENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click
    from litestar.types import ControllerRouterHandler
    from msgspec import Struct

    from hub.plugin.host import Host
    from hub.settings import ModelSettings, Settings


@hookimpl
def register_backends(settings: Settings) -> list[BackendSpec]:
    """The gpt_sovits backend. Its models need a `path`: the folder of a release."""
    return [
        BackendSpec(
            name=BACKEND,
            synthesizer="hub_gpt_sovits.synthesizer:GptSovits",
            contract=1,
            title="GPT-SoVITS",
            description="Clones a voice from 3 to 10 seconds of it. Loads v1 to v4, v2Pro, v2ProPlus and fine-tunes.",
            capabilities=CAPABILITIES,
            options=GptSovitsOptions,
            checkpoints=CHECKPOINTS,
            licence=LICENCE,
            homepage="https://github.com/RVC-Boss/GPT-SoVITS",
        )
    ]


@hookimpl
def register_routes(hub: Host) -> list[ControllerRouterHandler]:
    """The family's own HTTP API."""
    from hub_gpt_sovits.routes import make_routes

    return make_routes(hub)


@hookimpl
def register_compat_options() -> type[Struct]:
    """The options of `[compat.gpt_sovits.options]`."""
    return CompatOptions


@hookimpl
def register_commands(cli: click.Group) -> None:
    """Add `ttshub gpt-sovits`."""
    from hub_gpt_sovits.commands import gpt_sovits

    cli.add_command(gpt_sovits)


@hookimpl
def register_checks() -> list[Callable[[ModelSettings], Iterable[str]]]:
    """Notes of `ttshub check` on the text front end."""
    from hub_gpt_sovits.checks import text_notes

    return [text_notes]
