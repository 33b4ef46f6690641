"""A real server on a real port, with the tone backend behind it."""

import contextlib
import json
import queue
import socket
import threading

import httpx
import pytest
import uvicorn

from hub.api.app import create_app
from hub.api.server import server_config
from hub.plugin.manager import Plugins
from hub.service.hub import Hub
from hub.settings import ModelSettings, ServerSettings, Settings
from hub.testing import tone


class Reports:
    """An Observer that hands its reports to the test."""

    def __init__(self):
        self.ended = queue.Queue()
        self.crashed = queue.Queue()

    def speech_ended(self, report):
        self.ended.put(report)

    def worker_crashed(self, model, reason):
        self.crashed.put((model, reason))


class _Server(uvicorn.Server):
    def __init__(self, config):
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets=None):
        try:
            await super().startup(sockets)
        finally:
            self.up.set()


class Live:
    """A running hub: `url`, `port`, the `hub` itself, its `reports`, and an httpx `client`."""

    def __init__(self, hub, port):
        self.hub = hub
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.reports = Reports()
        hub.observers.append(self.reports)
        self.client = httpx.Client(base_url=self.url, timeout=60)

    def speak(self, text="hello", **fields):
        return self.client.post("/v1/speech", json={"text": text, **fields})

    def raw(self, path, body, *headers):
        """A bare socket with a request on its way, and a file to read the answer from."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        lines = [f"POST {path} HTTP/1.1", "Host: hub", "Content-Type: application/json", *headers]
        if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers):
            lines.append(f"Content-Length: {len(data)}")
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        return connection, connection.makefile("rb")


@contextlib.contextmanager
def serve(*extra, models=None, **settings):
    """A hub with the tone backend as model `tone` and the plugins in `extra`, served until the end of the block."""
    models = models or {"tone": ModelSettings(backend="tone")}
    settings = Settings(models=models, server=ServerSettings(port=0), **settings)
    hub = Hub.build(settings, Plugins.discover(disabled=["hibari"], extra=[tone, *extra]))
    server = _Server(server_config(create_app(hub), settings))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        server.up.wait()
        assert server.started
        live = Live(hub, server.servers[0].sockets[0].getsockname()[1])
        with live.client:
            yield live
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def live():
    """The server that most tests share: the default settings, small limits on what is sent."""
    with serve() as running:
        yield running


@pytest.fixture
def served():
    """A factory of servers with settings of their own; all are stopped after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *extra, **settings: stack.enter_context(serve(*extra, **settings))
