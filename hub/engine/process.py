"""ProcessEngine: a model in a worker process of its own, through start, crash, back-off, breaker and stop.

After a crash the engine starts a new worker, with a longer delay each time (`backoff_first`, doubling to
`backoff_max`). After `breaker_crashes` in a row the circuit breaker opens: the engine refuses requests at once for
`breaker_pause`, then the next request tries one more start. A request that completes resets the count.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from hub.contract.backend import CONTRACT, Capabilities, Loaded, ModelConfig
from hub.contract.conversion import ResolvedConversion
from hub.contract.errors import (
    BackendCrashed,
    BackendUnavailable,
    Cancelled,
    HubError,
    WorkerStartFailed,
    from_fault,
)
from hub.contract.event import Done, Fault
from hub.contract.speech import ResolvedRequest
from hub.engine import wire
from hub.engine.base import EngineState, EngineStatus
from hub.engine.child import Child
from hub.engine.measuring import Measuring
from hub.engine.stream import EventStream
from hub.engine.weights import weights_id
from hub.settings import WorkerSettings

log = logging.getLogger("hub.engine")

STOP_TIMEOUT = 8.0
"""Seconds that a worker has to end by itself before it is killed; its own `close` may take 5."""


class ProcessEngine:
    """An `Engine` in a worker process. All methods belong to one event loop."""

    def __init__(
        self,
        config: ModelConfig,
        synthesizer: str,
        *,
        settings: WorkerSettings | None = None,
        capabilities: Capabilities | None = None,
        python: str = "",
        env: Mapping[str, str] | None = None,
        concurrency: int | None = None,
        on_crash: Callable[[str], None] | None = None,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self._config = config
        self._synthesizer = synthesizer
        self._settings = settings or WorkerSettings()
        self._capabilities = capabilities or Capabilities()
        self._python = python
        self._env = dict(env or {})
        self._concurrency = concurrency
        self._on_crash = on_crash
        self._on_change = on_change or (lambda: None)  # called when a start, a stream, a call or the worker ends
        self._state: EngineState = "stopped"
        self._child: Child | None = None
        self._dying: Child | None = None  # a worker that was told to end, and may still hold memory
        self._starting: asyncio.Task[Loaded] | None = None
        self._loaded: Loaded | None = None
        self._started_at: float | None = None
        self._ids = itertools.count(1)
        self._streams: dict[int, EventStream] = {}
        self._cancelled: dict[int, float] = {}  # stream id -> loop time of its cancellation
        self._watcher: asyncio.TimerHandle | None = None
        self._calls: dict[int, asyncio.Future[msgspec.Raw]] = {}
        self._measures = False
        self._measuring = Measuring()
        self._crashes = 0
        self._crashes_in_row = 0
        self._not_before = 0.0  # loop time before which no start is tried
        self._last_error = ""

    @property
    def status(self) -> EngineStatus:
        """A snapshot."""
        return EngineStatus(
            state=self._state,
            pid=self._child.pid if self._child else None,
            started_at=self._started_at if self._state == "ready" else None,
            active=len(self._streams) + len(self._calls),
            crashes=self._crashes,
            last_error=self._last_error,
            retry_after=max(0.0, self._not_before - time.monotonic()) if self._state == "broken" else 0.0,
        )

    @property
    def loaded(self) -> Loaded | None:
        """The worker's report from its last start; None before the first."""
        return self._loaded

    # -- starting ---------------------------------------------------------------------------------

    async def start(self) -> Loaded:
        """Implement `Engine.start`."""
        if self._state == "ready" and self._loaded is not None:
            return self._loaded
        if self._starting is None:
            wait = self._not_before - asyncio.get_running_loop().time()
            if self._state == "broken" and wait > 0:
                raise BackendUnavailable(
                    f"model {self._config.name!r} failed {self._crashes_in_row} times in a row; "
                    f"the next attempt is in {wait:.0f} s",
                    retry_after=wait,
                )
            self._begin_start()
        assert self._starting is not None
        return await asyncio.shield(self._starting)

    def _begin_start(self) -> None:
        self._starting = asyncio.create_task(self._bring_up(), name=f"start {self._config.name}")
        self._starting.add_done_callback(self._start_done)

    def _start_done(self, task: asyncio.Task[Loaded]) -> None:
        if self._starting is task:
            self._starting = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("model %s did not start: %s", self._config.name, error)
        self._on_change()

    async def _bring_up(self) -> Loaded:
        loop = asyncio.get_running_loop()
        await self._buried()
        if (wait := self._not_before - loop.time()) > 0:
            self._state = "backing_off"
            await asyncio.sleep(wait)
        self._state = "starting"
        began = loop.time()
        ready: asyncio.Future[wire.Ready] = loop.create_future()
        try:
            child = await Child.spawn(
                name=self._config.name,
                python=self._python,
                env=self._env,
                on_message=lambda child, message: self._receive(child, message, ready),
                on_exit=lambda child, reason: self._exited(child, reason, ready),
            )
            self._child = child
            child.send(self._load_frame())
            async with asyncio.timeout(self._settings.start_timeout):
                answer = await ready
            self._check_contract(answer)
        except BaseException as error:
            ready.cancel()
            await self._start_failed(error)
            raise self._start_error(error) from None
        self._loaded = Loaded(
            contract=answer.contract,
            capabilities=answer.capabilities or self._capabilities,
            voices=answer.voices,
            concurrency=answer.concurrency,
            device=answer.device,
            # The hub in the worker's own environment may be an older one, which sends none.
            weights=answer.weights or weights_id([self._config.path]),
        )
        self._measures = answer.measures
        self._state = "ready"
        self._started_at = time.time()
        log.info("model %s is ready after %.2f s (worker %d)", self._config.name, loop.time() - began, child.pid)
        return self._loaded

    def _load_frame(self) -> bytes:
        return wire.frame(
            wire.Load(
                synthesizer=self._synthesizer,
                model=self._config,
                concurrency=self._concurrency,
                buffer_seconds=self._settings.buffer_seconds,
                capabilities=self._capabilities,
            )
        )

    def _check_contract(self, ready: wire.Ready) -> None:
        if ready.contract != CONTRACT:
            raise WorkerStartFailed(
                f"the worker of model {self._config.name!r} speaks contract {ready.contract}, this hub {CONTRACT}: "
                "install the same tts-hub in the worker's environment"
            )

    def _start_error(self, error: BaseException) -> BaseException:
        if isinstance(error, TimeoutError):
            return WorkerStartFailed(
                f"model {self._config.name!r} was not ready after {self._settings.start_timeout:g} s; "
                "if it needs longer, raise worker.start_timeout"
            )
        return error

    async def _start_failed(self, error: BaseException) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.kill()
        if isinstance(error, asyncio.CancelledError):  # `stop` came in between
            self._state = "stopped"
            return
        self._state = "broken" if self._count_failure(str(self._start_error(error))) else "stopped"

    def _count_failure(self, reason: str) -> bool:
        """Count a failure, and delay the next start. True if the breaker has opened."""
        settings = self._settings
        self._crashes_in_row += 1
        self._last_error = reason
        broken = self._crashes_in_row >= settings.breaker_crashes
        back_off = min(settings.backoff_first * 2.0 ** (self._crashes_in_row - 1), settings.backoff_max)
        delay = settings.breaker_pause if broken else back_off
        self._not_before = asyncio.get_running_loop().time() + delay
        return broken

    # -- the worker's side ------------------------------------------------------------------------

    def _receive(self, child: Child, message: wire.ToHub, ready: asyncio.Future[wire.Ready]) -> None:
        if isinstance(message, wire.Event):
            self._event(message)
        elif isinstance(message, wire.Answer):
            if (call := self._calls.pop(message.id, None)) is not None and not call.done():
                if message.fault is None:
                    call.set_result(message.value)
                else:
                    call.set_exception(from_fault(message.fault))
        elif isinstance(message, wire.Held):
            self._measuring.answered(message.size)
        elif isinstance(message, wire.Broken):
            self._crashed(child, message.reason, "lost its device while it worked on another request")
            child.signal(signal.SIGKILL)
        elif not ready.done():
            if isinstance(message, wire.Ready):
                ready.set_result(message)
            else:
                ready.set_exception(from_fault(message.fault))

    def _event(self, message: wire.Event) -> None:
        stream = self._streams.get(message.id)
        if stream is None:
            return
        if isinstance(message.event, Done | Fault):
            del self._streams[message.id]
            self._cancelled.pop(message.id, None)
            if isinstance(message.event, Done):
                self._crashes_in_row = 0
            self._on_change()
        stream.put(message.event)

    def _exited(self, child: Child, reason: str, ready: asyncio.Future[wire.Ready]) -> None:
        """Handle the end of a worker: a failed start if it was not ready, else a crash, unless it was stopped."""
        if not ready.done():
            ready.set_exception(
                WorkerStartFailed(f"the worker of model {self._config.name!r} {reason} before it was ready")
            )
            return
        self._crashed(child, reason, "died while it spoke")

    def _crashed(self, child: Child, reason: str, told: str) -> None:
        """Count a crash, end what was under way with `told`, and start a new worker."""
        if self._child is not child or self._state != "ready":
            return
        self._child, self._dying = None, child
        self._crashes += 1
        self._state = "broken" if self._count_failure(reason) else "backing_off"
        log.error("the worker of model %s %s; %d streams end", self._config.name, reason, len(self._streams))
        self._fail_all(BackendCrashed(f"the worker of model {self._config.name!r} {told}; try again"))
        if self._on_crash is not None:
            self._on_crash(reason)
        if self._state == "backing_off":
            self._begin_start()
        self._on_change()

    async def _buried(self) -> None:
        """Wait until a worker that crashed is gone, with the memory that it held."""
        if self._dying is not None:
            await self._dying.kill()
            self._dying = None

    def _fail_all(self, error: HubError) -> None:
        streams, self._streams, self._cancelled = self._streams, {}, {}
        calls, self._calls = self._calls, {}
        self._measuring.answered(None)
        for stream in streams.values():
            stream.put(error.to_fault())
        for call in calls.values():
            if not call.done():
                call.set_exception(error)

    # -- the hub's side ---------------------------------------------------------------------------

    def speak(self, request: ResolvedRequest, request_id: str = "", *, live: bool = False) -> EventStream:
        """Begin a stream. Raises BackendUnavailable if the engine is not ready."""
        return self._begin(wire.Start(next(self._ids), wire.raw(request), request_id, live))

    def convert(self, request: ResolvedConversion, request_id: str = "") -> EventStream:
        """Begin a stream. Raises BackendUnavailable if the engine is not ready."""
        return self._begin(wire.Start(next(self._ids), wire.raw(request), request_id, convert=True))

    def _begin(self, start: wire.Start) -> EventStream:
        child = self._up()
        stream_id = start.id
        data = wire.frame(start)
        stream = EventStream(
            grant=lambda seconds: self._send(child, wire.Credit(stream_id, seconds)),
            cancel=lambda: self._cancel(child, stream_id),
            feed=(lambda piece: self._send(child, wire.Text(stream_id, piece))) if start.live else None,
            ahead=self._settings.buffer_seconds,
        )
        self._streams[stream_id] = stream
        child.send(data)
        self._watch()
        return stream

    def _up(self) -> Child:
        if self._child is None or self._state != "ready":
            raise BackendUnavailable(f"model {self._config.name!r} is not loaded")
        return self._child

    def _send(self, child: Child, message: wire.ToWorker) -> None:
        if self._child is child:
            child.send(wire.frame(message))

    def _cancel(self, child: Child, stream_id: int) -> None:
        self._send(child, wire.Cancel(stream_id))
        self._cancelled[stream_id] = asyncio.get_running_loop().time()

    def _watch(self) -> None:
        """Check from time to time, while there are streams, for readers and workers that hang."""
        if self._watcher is None and self._streams:
            period = min(self._settings.stall_timeout, self._settings.cancel_timeout) / 4
            self._watcher = asyncio.get_running_loop().call_later(period, self._look)

    def _look(self) -> None:
        self._watcher = None
        now = asyncio.get_running_loop().time()
        for stream_id, stream in list(self._streams.items()):
            cancelled = self._cancelled.get(stream_id)
            if cancelled is not None:
                if now - cancelled >= self._settings.cancel_timeout:
                    self._kill_hung()
                    break
            elif stream.buffered > 0 and now - stream.last_read >= self._settings.stall_timeout:
                idle = now - stream.last_read
                stream.close(Cancelled(f"the caller read nothing for {idle:.0f} s (worker.stall_timeout)"))
        self._watch()

    def _kill_hung(self) -> None:
        log.error(
            "the worker of model %s did not stop a cancelled stream within %g s (worker.cancel_timeout): killed",
            self._config.name,
            self._settings.cancel_timeout,
        )
        if self._child is not None:
            self._child.signal(signal.SIGKILL)

    async def call(self, method: str, *args: Any) -> Any:
        """Implement `Engine.call`."""
        child = self._up()
        call_id = next(self._ids)
        future: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._calls[call_id] = future
        child.send(wire.frame(wire.Call(call_id, method, wire.raw(args))))
        try:
            return msgspec.msgpack.decode(await future)
        finally:
            self._calls.pop(call_id, None)
            self._on_change()

    async def measure(self) -> int | None:
        """Implement `Engine.measure`."""
        child = self._child
        if child is None or self._state != "ready" or not self._measures:
            return None
        return await self._measuring.ask(lambda: self._send(child, wire.Measure()))

    async def stop(self) -> None:
        """Stop the worker, by force if it does not end in time. The engine can be started again."""
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
            await asyncio.wait([starting])
        child, self._child = self._child, None
        self._state = "stopped"
        self._fail_all(BackendUnavailable(f"model {self._config.name!r} is being unloaded"))
        if child is not None:
            await child.close(STOP_TIMEOUT)
        await self._buried()
