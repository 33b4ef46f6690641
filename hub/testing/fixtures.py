"""Real servers for tests. In a plugin's `conftest.py`:

    from hub.testing.fixtures import live_hub  # noqa: F401

`live_hub` serves the installed hub. `serve_hub` serves one with the test's own settings and plugins, in a thread of the
test's process, so that the test can inspect the `Hub` itself. `hub_process` runs a hub in its own process, which the
test may kill. All listen on a free loopback port and leave nothing behind. Needs pytest.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn

from hub.api.app import create_app
from hub.api.server import server_config
from hub.contract.observer import SpeechReport
from hub.plugin.manager import Plugins
from hub.service.hub import Hub
from hub.settings import Settings

START_TIMEOUT = 120.0
"""Seconds within which a server must listen, and a hub be ready."""


class Reports:
    """An Observer that passes reports to the test, which can wait for them: `ended.get(timeout=10)`."""

    def __init__(self) -> None:
        self.ended: queue.Queue[SpeechReport] = queue.Queue()
        self.crashed: queue.Queue[tuple[str, str]] = queue.Queue()

    def speech_ended(self, report: SpeechReport) -> None:
        """Record a request that ended."""
        self.ended.put(report)

    def worker_crashed(self, model: str, reason: str) -> None:
        """Record a worker that crashed."""
        self.crashed.put((model, reason))


class LiveHub:
    """A running hub: its `url`, its `port`, the `hub` itself, its `reports`, and an httpx `client`.

    The hub belongs to the server's event loop: a test may inspect it, but must not call it.
    """

    def __init__(self, hub: Hub, port: int) -> None:
        self.hub = hub
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.reports = Reports()
        self.client = httpx.Client(base_url=self.url, timeout=START_TIMEOUT, trust_env=False)
        hub.observers.append(self.reports)

    def speak(self, text: str, **fields: Any) -> httpx.Response:
        """Send `POST /v1/speech`."""
        return self.client.post("/v1/speech", json={"text": text, **fields})

    def wait_ready(self) -> None:
        """Wait until every preloaded model is loaded."""
        _wait_ready(self.client)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.settled = threading.Event()  # set once it listens, or has failed to

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.settled.set()


@contextlib.contextmanager
def serve_hub(
    settings: Settings | None = None, plugins: Iterable[Any] = (), *, ready: bool = True
) -> Iterator[LiveHub]:
    """Serve a hub with `settings`, the installed plugins and those in `plugins`, until the end of the block.

    The port is a free one, whatever the settings say; the data folder is a temporary one unless they name one. With
    `ready`, the preloaded models are loaded when the block begins. Raises SettingsError for invalid settings,
    RuntimeError if the server does not start.
    """
    settings = settings or Settings()
    with tempfile.TemporaryDirectory() as folder:
        settings = msgspec.structs.replace(
            settings,
            data=settings.data or folder,
            server=msgspec.structs.replace(settings.server, host="127.0.0.1", port=0),
        )
        found = Plugins.discover(settings.plugins.disabled, extra=plugins, settings=settings)
        hub = Hub.build(settings, found)
        server = _Server(server_config(create_app(hub), settings))
        thread = threading.Thread(target=server.run, name="live hub")
        thread.start()
        try:
            if not server.settled.wait(START_TIMEOUT) or not server.started:
                raise RuntimeError("the hub's server did not start; its log says why")
            live = LiveHub(hub, server.servers[0].sockets[0].getsockname()[1])
            with live.client:
                if ready:
                    live.wait_ready()
                yield live
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="session")
def live_hub() -> Iterator[LiveHub]:
    """The installed hub, without configuration, on a free port."""
    with serve_hub() as live:
        yield live


class HubProcess:
    """A hub in its own process: its `pid`, its `url`, an httpx `client`, and what it has `logged` so far."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.pid = process.pid
        self.url = ""
        self.client = httpx.Client(timeout=START_TIMEOUT, trust_env=False)
        self._log = log

    @property
    def logged(self) -> str:
        """Its stdout and stderr so far."""
        return self._log.read_text(errors="replace")

    def wait_listening(self) -> None:
        """Wait until it has printed its address. Raises RuntimeError, with the log, if it ends before that."""
        deadline = time.monotonic() + START_TIMEOUT
        while (found := re.search(r"listens at (http://\S+)\s", self.logged)) is None:
            if self.process.poll() is not None:
                raise RuntimeError(f"the hub ended with exit code {self.process.returncode}:\n{self.logged}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the hub did not listen after {START_TIMEOUT:g} s:\n{self.logged}")
            time.sleep(0.02)
        self.url = found.group(1)
        self.client.base_url = httpx.URL(self.url)


@contextlib.contextmanager
def hub_process(
    config: str = "",
    *,
    plugins: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    ready: bool = True,
    command: Sequence[str] = ("serve", "--port", "0"),
) -> Iterator[HubProcess]:
    """Run `ttshub serve` with `config`, the text of a hub.toml, and stop it at the end of the block.

    `command` may start another server, such as a plugin's own; one without `/v1/ready` needs `ready=False`. `plugins`
    (name -> module) are visible as if installed; the data folder is a temporary one unless `config` names one. The
    block may kill the process. Raises RuntimeError, with the log, if it ends before it listens.
    """
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        file, log, site = Path(folder, "hub.toml"), Path(folder, "log"), Path(folder, "site")
        file.write_text(config, encoding="utf-8")
        _install(plugins or {}, site)
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TTSHUB_")}
        environ["XDG_DATA_HOME"] = str(Path(folder, "data"))
        environ["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, [environ.get("PYTHONPATH")])])
        process = subprocess.Popen(
            [sys.executable, "-m", "hub", *command, "--config", str(file)],
            cwd=folder,
            env={**environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=stack.enter_context(open(log, "wb")),
            stderr=subprocess.STDOUT,
        )
        stack.callback(_end, process)
        hub = HubProcess(process, log)
        with hub.client:
            hub.wait_listening()
            if ready:
                _wait_ready(hub.client)
            yield hub


def _install(plugins: Mapping[str, str], site: Path) -> None:
    """Make `site` a folder for the path, with an installed distribution that has these entry points."""
    info = site / "hub_testing_plugins-0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hub-testing-plugins\nVersion: 0\n")
    points = "".join(f"{name} = {module}\n" for name, module in plugins.items())
    (info / "entry_points.txt").write_text(f"[hub.plugins]\n{points}")


def _wait_ready(client: httpx.Client) -> None:
    """Poll until every preloaded model is loaded."""
    deadline = time.monotonic() + START_TIMEOUT
    while (answer := client.get("/v1/ready")).status_code != 200:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the hub was not ready after {START_TIMEOUT:g} s: {answer.text}")
        time.sleep(0.02)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM, and SIGKILL if the process does not end."""
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
