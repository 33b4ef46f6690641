"""What the hub asks of an engine, whichever way it runs its synthesizer."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from msgspec import Struct

from hub.contract.backend import Loaded
from hub.contract.conversion import ResolvedConversion
from hub.contract.speech import ResolvedRequest
from hub.engine.stream import EventStream

EngineState = Literal["stopped", "starting", "ready", "backing_off", "broken"]
"""`backing_off`: crashed, a respawn is due; `broken`: crashed too often, the circuit breaker is open."""


class EngineStatus(Struct, kw_only=True, frozen=True):
    """A snapshot for `/v1/backends`, `/v1/health` and the logs. Times are seconds since the epoch.

    `active` counts streams and calls; `retry_after` is how long (seconds) a broken engine refuses to start.
    """

    state: EngineState
    pid: int | None = None
    started_at: float | None = None
    active: int = 0
    crashes: int = 0
    last_error: str = ""
    retry_after: float = 0.0


class Engine(Protocol):
    """One loaded model."""

    @property
    def status(self) -> EngineStatus:
        """What the engine is doing now."""
        ...

    @property
    def loaded(self) -> Loaded | None:
        """What the model said when it was ready; None before its first start."""
        ...

    async def start(self) -> Loaded:
        """Bring the model up, or join a start under way, or return at once if it is up.

        Raises WorkerStartFailed (with the worker's last words), or BackendUnavailable while the circuit
        breaker is open.
        """
        ...

    def speak(self, request: ResolvedRequest, request_id: str = "", *, live: bool = False) -> EventStream:
        """Begin a stream on a started engine. It ends with exactly one Done or Fault.

        With `live` the request has no text: it comes through `EventStream.feed`, to `Live.speak_live`.
        """
        ...

    def convert(self, request: ResolvedConversion, request_id: str = "") -> EventStream:
        """Begin a stream of `Converter.convert`; otherwise as `speak`."""
        ...

    async def call(self, method: str, *args: Any) -> Any:
        """Call a method of the synthesizer that is no stream (`voices`, `make_voice`, `encode`, ...).

        Raises its HubError. The answer comes as builtins, to be converted with msgspec. A call that is given up goes
        on in the worker.
        """
        ...

    async def stop(self) -> None:
        """End the model and free its memory; streams under way end with a `backend_unavailable` fault."""
        ...
