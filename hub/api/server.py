"""run(): the hub as a server, in one process."""

from __future__ import annotations

import logging

import uvicorn
from litestar import Litestar

from hub.api.app import create_app
from hub.api.auth import check_bind
from hub.plugin.manager import Plugins
from hub.service.hub import Hub
from hub.settings import Settings

GRACE = 5
"""Seconds that streams under way have to finish when the server is told to stop."""


def run(settings: Settings, plugins: Plugins | None = None) -> None:
    """Serve until SIGTERM or SIGINT: then accept nobody new, let streams finish for `GRACE` seconds, stop the workers.

    Raises SettingsError, before anything is started, for settings that cannot be used.
    """
    check_bind(settings)
    app = create_app(Hub.build(settings, plugins))
    uvicorn.Server(server_config(app, settings)).run()


def server_config(app: Litestar, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves `app`."""
    logging.getLogger("uvicorn.error").addFilter(_known_cuts)
    return uvicorn.Config(
        app,
        host=settings.server.host,
        port=settings.server.port,
        lifespan="on",
        http="httptools",
        ws="websockets-sansio",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )


def _known_cuts(record: logging.LogRecord) -> bool:
    """Drop uvicorn's line about an answer that was cut off on purpose: `hub.api.respond` has logged why."""
    return "returned without completing response" not in record.getMessage()
