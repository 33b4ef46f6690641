"""`serve_alone()`, for plugins' commands: one family's own API at an address, as the family's own server serves it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from hub.cli.serve import bind, leave_signals_to_the_server, url_of
from hub.cli.session import Session

if TYPE_CHECKING:
    import socket

    from hub.plugin.manager import Plugins
    from hub.service.hub import Hub
    from hub.settings import ModelSettings, Settings

log = logging.getLogger("hub.cli")


def serve_alone(
    session: Session,
    plugin: str,
    *,
    host: str,
    port: int,
    models: Mapping[str, ModelSettings] = {},
    api_keys: Sequence[str] = (),
    settings: Settings | None = None,
) -> None:
    """Serve the routes of `plugin` at their original paths, and nothing else, until Ctrl-C or SIGTERM.

    `models` (name -> the settings of a `[models.NAME]` table) replace the configured ones, and the first is the
    default; without any, the configured models of the plugin's backends are served. `api_keys` replace the configured
    ones. All else comes from `settings`, or from `session`: the data folder with its voices, limits, tasks. A public
    address without a key is served, as the family's own server does, and the log warns.

    Raises Failed (port taken, wrong address, no start) and SettingsError (no model, no such plugin).
    """
    settings = _alone(settings or session.settings(), plugin, host, port, models, api_keys)
    _start_log(session, settings)
    plugins = session.plugins(settings)
    settings = _own_models(settings, plugin, plugins)
    sockets = bind(settings.server)
    leave_signals_to_the_server()
    _run(settings, plugins, sockets, plugin)


def _start_log(session: Session, settings: Settings) -> None:
    """Log to stderr, beginning with a warning if anyone may use the server."""
    from hub.api.http.auth import is_loopback

    level = "debug" if session.debug else settings.log_level
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    host = settings.server.host
    if not settings.auth.keys and not is_loopback(host):
        log.warning("%s can be reached from outside and there is no API key: anyone may use this server", host)


def _run(settings: Settings, plugins: Plugins, sockets: list[socket.socket], plugin: str) -> None:
    """Serve until the server ends. Raises Failed if it did not start."""
    from hub.api.server import run
    from hub.cli.failure import Failed

    url = url_of(settings.server, sockets)

    def announce(hub: Hub) -> None:
        from hub.version import __version__

        click.echo(f"tts-hub {__version__} listens at {url} with the API of {plugin} alone")
        click.echo(f"models: {', '.join(model.name for model in hub.models)}")

    if not run(settings, plugins, sockets=sockets, on_listening=announce, alone=plugin):
        raise Failed("startup_failed", "the server did not start; the log above says why")


def _alone(
    settings: Settings, plugin: str, host: str, port: int, models: Mapping[str, ModelSettings], api_keys: Sequence[str]
) -> Settings:
    """Return `settings` with the address, the keys and the models of the command line."""
    from hub.settings import ApiKey, AuthSettings

    if api_keys:
        keys = tuple(ApiKey(name=f"key{number}", key=key) for number, key in enumerate(api_keys, 1))
        settings = replace(settings, auth=AuthSettings(keys=keys))
    if models:
        settings = replace(settings, models=dict(models), default_model=next(iter(models)))
    disabled = tuple(name for name in settings.plugins.disabled if name != plugin)
    return replace(
        settings,
        server=replace(settings.server, host=host, port=port, allow_public=True),
        plugins=replace(settings.plugins, disabled=disabled),
        compat={name: replace(wanted, port=None) for name, wanted in settings.compat.items()},
    )


def _own_models(settings: Settings, plugin: str, plugins: Plugins) -> Settings:
    """Return `settings` with only the models of `plugin`'s backends. Raises SettingsError if none is left."""
    from hub.service.models.models import default_models
    from hub.settings import SettingsError

    backends = [backend for backend, owner in plugins.backend_plugins.items() if owner == plugin]
    own = {name: model for name, model in settings.models.items() if model.backend in backends}
    if not settings.models:
        own = {name: model for name, model in default_models(plugins).items() if model.backend in backends}
    if not own and backends:
        raise SettingsError(
            f"no model of plugin {plugin!r} is configured: name a checkpoint on the command line, "
            f"or add [models.NAME] with backend = {' or '.join(map(repr, backends))} to hub.toml"
        )
    default = settings.default_model if settings.default_model in own else next(iter(own), "")
    return replace(settings, models=own, default_model=default)
