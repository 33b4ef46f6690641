"""The hooks of the hub.

Hooks run at start-up only. They register objects, and requests call the objects. No hook is async, and none runs
between two chunks. A plugin implements the hooks it needs; the hub reports a misspelt one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pluggy

from hub.contract.backend import BackendSpec
from hub.contract.observer import Observer
from hub.contract.scene import Scene

if TYPE_CHECKING:  # a hook's signature must not import anything heavy
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
    """Return the model families that this plugin adds.

    It runs in the hub's own process, so the plugin's module must import nothing heavy: a BackendSpec names its
    synthesizer as a string, and only the worker imports it. If two plugins register a backend of the same name, the
    hub reports a failure of the second one, in order of plugin name.
    """


@hookspec
def register_routes(hub: Host) -> list[ControllerRouterHandler]:  # type: ignore[empty-body]
    """Return the family's own HTTP routes: Litestar handlers, controllers or routers.

    The hub always mounts them under `/compat/<plugin>/`. It also mounts them at the paths as written if those are free
    and the hub has a model of the plugin (or the plugin has no backend). Answer audio with
    `hub.api.respond.speech_response`.
    """


@hookspec
def register_compat_options() -> type[msgspec.Struct]:  # type: ignore[empty-body]
    """Return the Struct of `[compat.<plugin>.options]`; all its fields have defaults.

    The hub checks the options when it is built and raises SettingsError for a wrong key or value, or for options of a
    plugin without this hook. The routes read the result with `hub.api.family.options_of`.
    """


@hookspec
def register_encoders() -> list[EncoderSpec]:  # type: ignore[empty-body]
    """Return further audio containers for `AudioFormat.container`. Their names must differ from the built-in ones."""


@hookspec
def register_text_filters() -> list[TextFilter]:  # type: ignore[empty-body]
    """Return objects that rewrite the text of each request before synthesis, in order of `TextFilter.order`."""


@hookspec
def register_commands(cli: click.Group) -> None:
    """Add commands to `ttshub` with `cli.add_command` or `@cli.command`. Import heavy packages inside them."""


@hookspec
def register_checks() -> list[ModelCheck]:  # type: ignore[empty-body]
    """Return further checks of this plugin's models for `ttshub check`.

    Each is called with the settings of a model and yields notes: what is missing, and what the model does without it.
    It runs in the command's process, so it looks at files and packages and loads nothing.
    """


@hookspec
def register_observers() -> list[Observer]:  # type: ignore[empty-body]
    """Return observers, which the hub calls after each request and each worker crash."""


@hookspec
def register_scenes() -> list[Scene]:  # type: ignore[empty-body]
    """Return the family's scenes. A scene of the same id in the data folder or `scene_folders` takes precedence."""


@hookspec
def register_task_kinds(settings: Settings) -> list[TaskKind]:  # type: ignore[empty-body]
    """Return kinds of long jobs that survive restarts, for `POST /v1/tasks/<name>`. `speech` is the hub's own."""


@hookspec
def configure_app(config: AppConfig) -> None:
    """Change Litestar's AppConfig before the app is built: add middleware, a lifespan, a dependency."""
