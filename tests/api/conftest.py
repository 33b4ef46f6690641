"""Real servers on real ports, with the tone backend behind them."""

import contextlib
import json
import socket

import pytest

from hub.settings import ModelSettings, PluginSettings, Settings
from hub.testing import tone
from hub.testing.fixtures import serve_hub


def serve(*plugins, models=None, **settings):
    """Serve the tone backend as model `tone`, and `plugins`, without waiting for the models."""
    models = models or {"tone": ModelSettings(backend="tone")}
    settings = Settings(models=models, plugins=PluginSettings(disabled=("hibari",)), **settings)
    return serve_hub(settings, [tone, *plugins], ready=False)


@pytest.fixture(scope="session")
def live():
    """The server that most tests share: the default settings."""
    with serve() as running:
        running.wait_ready()
        yield running


@pytest.fixture
def served():
    """A factory of servers with settings of their own; all stop after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *plugins, **settings: stack.enter_context(serve(*plugins, **settings))


@pytest.fixture(scope="module")
def served_once():
    """The same factory, for servers that the tests of a file share."""
    with contextlib.ExitStack() as stack:
        yield lambda *plugins, **settings: stack.enter_context(serve(*plugins, **settings))


@pytest.fixture
def raw():
    """raw(live, path, body, *headers): a bare socket that has sent a request, and a file to read the response from."""
    with contextlib.ExitStack() as stack:

        def send(live, path, body, *headers):
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            lines = [f"POST {path} HTTP/1.1", "Host: hub", "Content-Type: application/json", *headers]
            if not any(line.startswith("Content-Length") for line in headers):
                lines.append(f"Content-Length: {len(data)}")
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", live.port), timeout=30))
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
            return connection, stack.enter_context(connection.makefile("rb"))

        yield send
