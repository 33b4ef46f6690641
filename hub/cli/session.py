"""`Session`: what all commands share, and the options that every command takes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from hub.plugin.manager import Plugins
    from hub.settings import Settings

Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])


class Session:
    """One run of `ttshub`: the sources of its settings, and whether it shows logs and tracebacks."""

    def __init__(self) -> None:
        self.config: Path | None = None
        self.overrides: dict[str, Any] = {}
        self.debug = os.environ.get("TTSHUB_DEBUG", "") not in ("", "0")

    def settings(self, **flags: Any) -> Settings:
        """Load the settings; `flags` override them (`server__port=9000`; None: not given). Raises SettingsError."""
        from hub.settings_load import load_settings

        given = {name.replace("__", "."): value for name, value in flags.items() if value is not None}
        return load_settings(self.config, overrides={**self.overrides, **given})

    def plugins(self, settings: Settings | None = None) -> Plugins:
        """Discover the installed plugins. Without `settings`, the configured ones apply if they are valid."""
        from hub.plugin.manager import Plugins
        from hub.settings import Settings, SettingsError

        if settings is None:
            try:
                settings = self.settings()
            except SettingsError:
                settings = Settings()
        return Plugins.discover(settings.plugins.disabled, settings=settings)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run `work` to its end. Ctrl-C and SIGTERM cancel it, so that it can clean up."""
        import asyncio
        import signal

        async def cancellable() -> Result:
            task = asyncio.current_task()
            assert task is not None
            if os.name == "posix":
                asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
            return await work

        if self.debug:
            logging.basicConfig(level=logging.DEBUG, format="%(levelname)s %(name)s: %(message)s")
            logging.getLogger("asyncio").setLevel(logging.INFO)
        try:
            return asyncio.run(cancellable())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


def session_options(command: Function) -> Function:
    """Add `--config`, `--set` and `--debug`, which work before a command's name and after it."""
    options = (
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            help="Settings file [default: TTSHUB_CONFIG, else ./hub.toml]",
            callback=_set_config,
            expose_value=False,
            is_eager=True,
        ),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="A setting, such as worker.start_timeout=60; may be repeated",
            callback=_set_overrides,
            expose_value=False,
        ),
        click.option("--debug", is_flag=True, help="Show logs and tracebacks", callback=_set_debug, expose_value=False),
    )
    for option in reversed(options):
        command = option(command)
    return command


def json_option(command: Function) -> Function:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts")(command)


def url_options(command: Function) -> Function:
    """Add `--url` and `--api-key`, for commands that can talk to a running hub."""
    key = click.option(
        "--api-key", envvar="TTSHUB_API_KEY", show_envvar=True, help="API key of the hub at --url", metavar="KEY"
    )
    return click.option("--url", envvar="TTSHUB_URL", show_envvar=True, help="Use the hub that runs at this address")(
        key(command)
    )


def library_command(group: click.Group) -> Callable[[str], Callable[[Function], Any]]:
    """Return a decorator that adds a command to `group`, which works on this machine's library or on a running hub's.

    The command takes the session, `url`, `api_key` and `as_json`.
    """

    def named(name: str) -> Callable[[Function], Any]:
        def decorate(function: Function) -> Any:
            return group.command(name)(session_options(url_options(json_option(click.pass_obj(function)))))

        return decorate

    return named


def _set_config(ctx: click.Context, _param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.ensure_object(Session).config = value


def _set_overrides(ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> None:
    for text in values:
        key, equals, value = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
        ctx.ensure_object(Session).overrides[key.strip()] = value


def _set_debug(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).debug = True
