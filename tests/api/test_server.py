import os
import signal
import subprocess
import sys

import httpx
import pytest

PROGRAM = """
import logging, sys
from hub.api.server import run
from hub.plugin.manager import Plugins
from hub.settings import ModelSettings, ServerSettings, Settings
from hub.testing import tone

logging.basicConfig(level="INFO", stream=sys.stdout, format="%(name)s %(levelname)s %(message)s")
settings = Settings(models={"tone": ModelSettings(backend="tone")}, server=ServerSettings(port=0))
run(settings, Plugins.discover(disabled=["hibari"], extra=[tone]))
"""


@pytest.fixture
def server(request):
    """A server process: (process, url, lines of its log so far)."""
    program = getattr(request, "param", "") + PROGRAM
    with subprocess.Popen([sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "running on" in line:
                break
        yield process, lines[-1].partition("running on ")[2].partition(" ")[0], lines
        if process.poll() is None:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_streams_finish_and_ends_the_workers(server, number):
    process, url, lines = server
    body = {"text": "x" * 50, "stream": True, "options": {"paced": True, "lead_ms": 0}, "format": {"container": "pcm"}}
    with httpx.stream("POST", f"{url}/v1/speech", json=body, timeout=30) as answer:
        parts = answer.iter_raw()
        received = len(next(parts))
        process.send_signal(number)
        received += sum(map(len, parts))
    assert received == 52 * 960 * 2  # all of it, although the server was stopped at its beginning
    lines += process.stdout
    process.wait(timeout=30)
    log = "".join(lines)
    assert "Traceback" not in log.replace("KeyboardInterrupt", "")
    assert "Application shutdown complete" in log
    worker = int(log.partition("(worker ")[2].partition(")")[0])
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


@pytest.mark.parametrize("server", ["import hub.api.server; hub.api.server.GRACE = 0"], indirect=True, ids=["no grace"])
def test_streams_that_do_not_finish_are_cut_and_told_apart_in_the_log(server):
    process, url, lines = server
    body = {"text": "x", "stream": True, "options": {"seconds": 3600.0, "paced": True}}
    with httpx.stream("POST", f"{url}/v1/speech", json=body, timeout=30) as answer:
        parts = answer.iter_raw()
        next(parts)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(httpx.RemoteProtocolError):
            sum(map(len, parts))
    lines += process.stdout
    process.wait(timeout=30)
    log = "".join(lines)
    assert "backend_unavailable: the hub is stopping" in log
    assert "Traceback" not in log
