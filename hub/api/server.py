"""run(): the hub as a server, in one process."""

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
"""Seconds that streams under way have to finish when the server is told to stop."""

KEEP_ALIVE = 75
"""Seconds that a connection is kept for its next request: longer than clients keep theirs (httpx, and so openai: 5 s;
browsers and proxies: up to 60 s). The side that gives up first must be theirs, or a request is sent into a closed door.
"""


def run(
    settings: Settings,
    plugins: Plugins | None = None,
    *,
    sockets: list[socket.socket] | None = None,
    on_listening: Callable[[Hub], None] = lambda hub: None,
    alone: str = "",
) -> bool:
    """Serve until SIGTERM or SIGINT: then accept nobody new, let streams finish for `GRACE` seconds, stop the workers.

    `sockets` are bound already (default: the settings' address and the plugins' own ports); `on_listening` is called
    once requests are answered; `alone` names a plugin whose routes are then all that is served. Returns whether it ever
    came to that. Raises SettingsError, before anything is started, for settings that cannot be used.
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
    """(host, port) of the hub, then of each plugin that has a port of its own."""
    ports = [settings.server.port, *(wanted.port for wanted in settings.compat.values() if wanted.port is not None)]
    return [(settings.server.host, port) for port in ports]


def _by_port(app: ASGIApp, others: Mapping[int, ASGIApp]) -> ASGIApp:
    """One server, several listening sockets: each of `others` answers at its port, `app` everywhere else."""
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
    """How uvicorn serves `app`."""
    logging.getLogger("uvicorn.error").addFilter(_known_cuts)
    return uvicorn.Config(
        app,
        host=settings.server.host,
        port=settings.server.port,
        lifespan="on",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=settings.live.message_bytes,
        ws_per_message_deflate=False,  # audio does not get smaller, and a little of it could become very large
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=KEEP_ALIVE,
    )


def _known_cuts(record: logging.LogRecord) -> bool:
    """Drop uvicorn's line about an answer that was cut off on purpose: `hub.api.respond` has logged why."""
    return "returned without completing response" not in record.getMessage()
