"""`ttshub serve`: the hub as a server."""

from __future__ import annotations

import errno
import logging
import signal
import socket
from typing import TYPE_CHECKING

import click
from msgspec.structs import replace

from hub.cli.failure import Failed
from hub.cli.session import Session, session_options
from hub.version import __version__

if TYPE_CHECKING:
    from hub.plugin.manager import Plugins
    from hub.service.hub import Hub
    from hub.settings import ServerSettings, Settings

log = logging.getLogger("hub.cli")

LEVELS = ("debug", "info", "warning", "error", "critical")


@click.command()
@click.option("--host", help="Address to listen on [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0: any free port [default: 8900]")
@click.option("--allow-public", is_flag=True, default=None, help="Listen on a public address without API keys")
@click.option("-m", "--model", help="Model for requests that name none")
@click.option("--log-level", type=click.Choice(LEVELS), help="[default: info]")
@session_options
@click.pass_obj
def serve(
    session: Session,
    host: str | None,
    port: int | None,
    allow_public: bool | None,
    model: str | None,
    log_level: str | None,
) -> None:
    """Serve the models over HTTP.

    Runs until Ctrl-C or SIGTERM, then gives streams a moment to finish; a second Ctrl-C
    cuts them off.
    """
    settings = session.settings(
        server__host=host,
        server__port=port,
        server__allow_public=allow_public,
        default_model=model,
        log_level="debug" if session.debug else log_level,
    )
    from hub.api.http.auth import check_bind

    check_bind(settings)
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    plugins = session.plugins(settings)
    sockets = bind(settings.server)
    for plugin, wanted in settings.compat.items():
        if wanted.port is not None:
            sockets += bind(replace(settings.server, port=wanted.port))
            log.info("plugin %s also answers on port %d", plugin, wanted.port)
    leave_signals_to_the_server()
    if not _run(settings, plugins, sockets):
        raise Failed("startup_failed", "the server did not start; the log above says why")


def _run(settings: Settings, plugins: Plugins, sockets: list[socket.socket]) -> bool:
    from hub.api.server import run

    url = url_of(settings.server, sockets)

    def announce(hub: Hub) -> None:
        names = [f"{model.name} (default)" if model is hub.models.default else model.name for model in hub.models]
        click.echo(f"tts-hub {__version__} listens at {url}")
        click.echo(f"models: {', '.join(names) or 'none'}")
        click.echo(f"documentation: {url}/docs")

    return run(settings, plugins, sockets=sockets, on_listening=announce)


def leave_signals_to_the_server() -> None:
    """Ignore SIGINT and SIGTERM outside uvicorn, which handles them, and raises them again when it ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)


def url_of(server: ServerSettings, sockets: list[socket.socket]) -> str:
    """Return the URL at which the server listens."""
    host, port = server.host, sockets[0].getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def bind(server: ServerSettings) -> list[socket.socket]:
    """Return a listening socket for each address of the host.

    Raises Failed if the port is taken, or the host is not an address of this machine.
    """
    try:
        found = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise Failed("bad_address", f"cannot resolve the host {server.host!r}", "use --host 127.0.0.1") from None
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    port = server.port
    for family, _, _, _, address in found:
        try:
            sockets.append(socket.create_server((address[0], port), family=family, backlog=2048))
            port = sockets[0].getsockname()[1]  # port 0 is the same free port at every address
        except OSError as error:
            failure = error
            if error.errno == errno.EADDRINUSE:
                break
    if failure is not None and (not sockets or failure.errno == errno.EADDRINUSE):
        for one in sockets:
            one.close()
        raise _bind_failure(server, failure)
    return sockets


def _bind_failure(server: ServerSettings, error: OSError) -> Failed:
    address = f"{server.host}:{server.port}"
    if error.errno == errno.EADDRINUSE:
        return Failed("port_taken", f"another program listens at {address}", "choose another --port, or stop it")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Failed("port_forbidden", f"this user may not listen at {address}", "use a --port above 1023")
    return Failed("bad_address", f"cannot listen at {address}: {error.strerror}", "use --host 127.0.0.1")
