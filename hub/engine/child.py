"""Child: one worker process and its three pipes, on asyncio's own subprocess transport.

It uses the transport and not asyncio's streams because a chunk then costs one callback and no task switch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from typing import cast

import msgspec

from hub.contract.errors import WorkerStartFailed
from hub.engine import wire

log = logging.getLogger("hub.worker")

STDIN, STDOUT, STDERR = 0, 1, 2

_NO_HUB = re.compile(r"No module named '?(hub|msgspec)\b")


class Child(asyncio.SubprocessProtocol):
    """A worker process. `on_message` gets its frames; `on_exit`, once, a phrase such as "was killed by SIGKILL"."""

    def __init__(
        self, name: str, on_message: Callable[[Child, wire.ToHub], None], on_exit: Callable[[Child, str], None]
    ) -> None:
        self._name = name
        self._on_message = on_message
        self._on_exit = on_exit
        self._frames = wire.FrameBuffer(wire.to_hub_decoder)
        self._stderr = bytearray()
        self._gone = asyncio.Event()
        self._no_hub = False
        self._transport: asyncio.SubprocessTransport
        self._stdin: asyncio.WriteTransport
        self.pid = 0

    @classmethod
    async def spawn(
        cls,
        *,
        name: str,
        python: str,
        env: Mapping[str, str],
        on_message: Callable[[Child, wire.ToHub], None],
        on_exit: Callable[[Child, str], None],
    ) -> Child:
        """Start `python -m hub.engine.worker`. Raises WorkerStartFailed if there is no such interpreter."""
        # A session of its own: Ctrl-C in the hub's terminal must not reach the worker before the hub has stopped it.
        # PYTHONSAFEPATH: a file called numpy.py in the working directory must not be imported.
        environ = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", **env}
        try:
            _, child = await asyncio.get_running_loop().subprocess_exec(
                lambda: cls(name, on_message, on_exit),
                python or sys.executable,
                "-m",
                "hub.engine.worker",
                env=environ,
                start_new_session=True,
            )
        except OSError as error:
            log.error("model %s: the interpreter %s does not start: %s", name, python, error)
            raise WorkerStartFailed(
                f"the interpreter of model {name!r} does not start ({error.strerror}); correct models.{name}.python"
            ) from None
        return child

    def send(self, data: bytes) -> None:
        """Write a frame. If the process is gone, the frame is dropped, and `on_exit` reports the end."""
        if not self._stdin.is_closing():
            self._stdin.write(data)

    def signal(self, number: signal.Signals) -> None:
        """Signal the worker and every process that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def kill(self) -> None:
        """Kill the process, and wait until it is gone."""
        if not self._gone.is_set():
            self.signal(signal.SIGKILL)
            await self._gone.wait()

    async def close(self, timeout: float) -> None:
        """Close the pipe, at which the worker ends; kill it if it has not ended after `timeout` seconds."""
        self._stdin.close()
        try:
            async with asyncio.timeout(timeout):
                await self._gone.wait()
        except TimeoutError:
            log.warning("the worker of model %s did not end within %g s: killed", self._name, timeout)
            await self.kill()

    # -- asyncio's side ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The process has started."""
        self._transport = cast(asyncio.SubprocessTransport, transport)
        self._stdin = cast(asyncio.WriteTransport, self._transport.get_pipe_transport(STDIN))
        self.pid = self._transport.get_pid()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Read frames from stdout, and log lines from stderr."""
        if fd == STDERR:
            self._log(data)
            return
        try:
            for message in self._frames.feed(data):
                self._on_message(self, message)
        except (wire.FrameError, msgspec.MsgspecError) as error:
            log.error("the worker of model %s sent an invalid frame: %s", self._name, error)
            self.signal(signal.SIGKILL)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Kill a worker that closed its stdout: it can no longer answer."""
        if fd == STDOUT:
            self.signal(signal.SIGKILL)

    def process_exited(self) -> None:
        """The process has exited. `connection_lost` follows when its pipes are read to the end."""
        self.signal(signal.SIGKILL)  # processes that it started may hold the pipes open

    def connection_lost(self, exc: Exception | None) -> None:
        """The process is gone and its pipes are read to the end."""
        self._log(b"\n")
        self._transport.close()
        self._gone.set()
        self._on_exit(self, self._reason())

    def _log(self, data: bytes) -> None:
        self._stderr += data
        *lines, rest = self._stderr.split(b"\n")
        self._stderr = bytearray(rest[-65536:])
        for line in lines:
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                self._no_hub = self._no_hub or _NO_HUB.search(text) is not None
                log.info("[%s] %s", self._name, text)

    def _reason(self) -> str:
        code = self._transport.get_returncode()
        if self._no_hub:
            return "found no tts-hub in its interpreter (install the plugin's distribution there)"
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"
