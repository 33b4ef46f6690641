"""The hooks of the hub.

The one law: hooks run at start-up only. They register objects, and the request path calls the objects. No hook is
async and none runs between two chunks. A hook may be left out; a misspelt one is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pluggy

from hub.contract.backend import BackendSpec
from hub.contract.observer import Observer
from hub.contract.scene import Scene

if TYPE_CHECKING:  # typed for the reader; nothing heavy is imported for a hook's signature
    import click
    import msgspec
    from litestar.config.app import AppConfig
    from litestar.types import ControllerRouterHandler

    from hub.audio.encode import EncoderSpec
    from hub.plugin.filters import TextFilter
    from hub.plugin.host import Host
    from hub.plugin.tasks import TaskKind
    from hub.settings import ModelSettings, Settings

    ModelCheck = Callable[[ModelSettings], Iterable[str]]

PROJECT = "hub"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def register_backends(settings: Settings) -> list[BackendSpec]:  # type: ignore[empty-body]
    """The model families that this plugin brings.

    Runs in the hub's own process, so the plugin's module must import nothing heavy: a BackendSpec names its
    synthesizer as a string, and only the worker imports it. Two backends of one name are a failure of the second
    plugin, in order of plugin name.
    """


@hookspec
def register_routes(hub: Host) -> list[ControllerRouterHandler]:  # type: ignore[empty-body]
    """The family's own HTTP routes, as Litestar handlers, controllers or routers.

    Mounted under `/compat/<plugin>/` always, and at the paths as written while the hub has a model of the plugin's (or
    it brings no backend) and they are free. `hub` is what plugins see of the hub
    (`hub.plugin.host.Host`); answer audio with `hub.api.respond.speech_response`.
    """


@hookspec
def register_compat_options() -> type[msgspec.Struct]:  # type: ignore[empty-body]
    """What `[compat.<plugin>.options]` may say: a Struct whose fields all have defaults.

    Checked when the hub is built; a wrong key or value is an error of the settings. The routes read the result with
    `hub.api.family.options_of`. Options for a plugin without this hook are an error too.
    """


@hookspec
def register_encoders() -> list[EncoderSpec]:  # type: ignore[empty-body]
    """Further audio containers for `AudioFormat.container`. A built-in name cannot be replaced."""


@hookspec
def register_text_filters() -> list[TextFilter]:  # type: ignore[empty-body]
    """Objects that may rewrite the text of each request before its model gets it, in order of `TextFilter.order`."""


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to `ttshub`: call `cli.add_command` or use `@cli.command`. Import heavy things inside them."""


@hookspec
def register_checks() -> list[ModelCheck]:  # type: ignore[empty-body]
    """What `ttshub check` should tell of the models of this plugin's backends, besides what it looks at itself.

    Each is called with the settings of a model and yields notes: what is not there, and what is done without it. It
    runs in the command's process, so it looks at files and packages and loads nothing.
    """


@hookspec
def register_observers() -> list[Observer]:  # type: ignore[empty-body]
    """Objects that are told of each finished request and of each worker crash."""


@hookspec
def register_scenes() -> list[Scene]:  # type: ignore[empty-body]
    """Scenes that come with the family. A scene of the same id in the data folder or `scene_folders` comes first."""


@hookspec
def register_task_kinds(settings: Settings) -> list[TaskKind]:  # type: ignore[empty-body]
    """Kinds of long jobs that survive restarts; `POST /v1/tasks/<name>` takes them. `speech` is the hub's own."""


@hookspec
def configure_app(config: AppConfig) -> None:
    """Change Litestar's AppConfig before the app is built: add middleware, a lifespan, a dependency."""
