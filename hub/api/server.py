"""`run()`: the hub as a server, in one process."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import uvicorn
from litestar.types import ASGIApp

from hub.api.app import create_alone, create_apps
from hub.api.http.auth import check_bind
from hub.plugin.manager import Plugins
from hub.service.hub import Hub
from hub.settings import Settings

GRACE = 5
"""Seconds that running streams have to finish when the server stops."""

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than clients keep theirs (httpx, and so openai: 5 s; browsers and
proxies: up to 60 s). If the server closed first, a client could send its next request on a closed connection.
"""


def run(
    settings: Settings,
    plugins: Plugins | None = None,
    *,
    sockets: list[socket.socket] | None = None,
    on_listening: Callable[[Hub], None] = lambda hub: None,
    alone: str = "",
) -> bool:
    """Serve until SIGTERM or SIGINT. Then accept no new connection, give streams `GRACE` seconds, and stop the workers.

    `sockets` are already bound (default: the settings' address and the plugins' own ports). `on_listening` is called
    when the server answers requests. `alone` names a plugin; then only its routes are served. Returns True if the
    server came up. Raises SettingsError, before anything is started, for settings that cannot be used.
    """
    check_bind(settings)
    hub = Hub.build(settings, plugins)
    app, by_port = (create_alone(hub, alone), {}) if alone else create_apps(hub)
    server = _Server(server_config(_by_port(app, by_port), settings), partial(on_listening, hub))
    if sockets is None and by_port:
        sockets = [socket.create_server(address, backlog=2048) for address in addresses(settings)]
    server.run(sockets)
    return server.started


def addresses(settings: Settings) -> list[tuple[str, int]]:
    """Return the (host, port) of the hub, then of each plugin that has its own port."""
    ports = [settings.server.port, *(wanted.port for wanted in settings.compat.values() if wanted.port is not None)]
    return [(settings.server.host, port) for port in ports]


def _by_port(app: ASGIApp, others: Mapping[int, ASGIApp]) -> ASGIApp:
    """Return one app for several listening sockets: each of `others` serves its port, `app` all others."""
    if not others:
        return app

    async def choose(scope: Any, receive: Any, send: Any) -> None:
        server = scope.get("server")  # absent for the lifespan
        chosen = others.get(server[1], app) if server else app
        await chosen(scope, receive, send)

    return choose


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_listening()


def server_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """Return uvicorn's configuration for `app`."""
    logging.getLogger("uvicorn.error").addFilter(_known_cuts)
    return uvicorn.Config(
        app,
        host=settings.server.host,
        port=settings.server.port,
        lifespan="on",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=settings.live.message_bytes,
        ws_per_message_deflate=False,  # audio does not compress, and a small message could inflate into a huge one
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=KEEP_ALIVE,
    )


def _known_cuts(record: logging.LogRecord) -> bool:
    """Drop uvicorn's line about a response that was cut off on purpose; `hub.api.respond` has logged why."""
    return "returned without completing response" not in record.getMessage()
