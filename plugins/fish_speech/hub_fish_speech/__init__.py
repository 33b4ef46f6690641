"""Fish Speech for tts-hub: 1.4, 1.5, OpenAudio S1 mini and S2 Pro. Registers hooks and imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub import BackendSpec, hookimpl
from hub_fish_speech.capabilities import BACKEND, CAPABILITIES
from hub_fish_speech.options import CompatOptions, FishOptions
from hub_fish_speech.releases import CHECKPOINTS, LICENCE

if TYPE_CHECKING:
    import click
    from litestar.types import ControllerRouterHandler
    from msgspec import Struct

    from hub.plugin.host import Host
    from hub.plugin.tasks import TaskKind
    from hub.settings import Settings


@hookimpl
def register_backends(settings: Settings) -> list[BackendSpec]:
    """The backend `fish_speech`. Its models need a `path`: the folder of a checkpoint."""
    return [
        BackendSpec(
            name=BACKEND,
            synthesizer="hub_fish_speech.synthesizer:FishSpeech",
            contract=1,
            title="Fish Speech",
            description="Clones a voice from seconds of it. Fish Speech 1.4 and 1.5, OpenAudio S1 mini, S2 Pro.",
            capabilities=CAPABILITIES,
            options=FishOptions,
            checkpoints=CHECKPOINTS,
            licence=LICENCE,
            homepage="https://github.com/fishaudio/fish-speech",
        )
    ]


@hookimpl
def register_routes(hub: Host) -> list[ControllerRouterHandler]:
    """The HTTP API of the family's own server."""
    from hub_fish_speech.routes import make_routes

    return make_routes(hub)


@hookimpl
def register_compat_options() -> type[Struct]:
    """`[compat.fish_speech.options]`."""
    return CompatOptions


@hookimpl
def register_task_kinds(settings: Settings) -> list[TaskKind]:
    """The asynchronous tasks of that API."""
    from hub_fish_speech.tasks import GenerateTasks

    return [GenerateTasks()]


@hookimpl
def register_commands(cli: click.Group) -> None:
    """`ttshub fish`."""
    from hub_fish_speech.commands import fish

    cli.add_command(fish)
