"""The engine protocol: how the hub uses a loaded model, wherever its synthesizer runs."""

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

    `active` counts streams and calls; a broken engine refuses to start for the next `retry_after` seconds.
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
        """A snapshot of the engine's state."""
        ...

    @property
    def loaded(self) -> Loaded | None:
        """The model's report from its last start; None before the first."""
        ...

    async def start(self) -> Loaded:
        """Start the model, or join a start under way; return at once if it is ready.

        Raises WorkerStartFailed (with the worker's reason), or BackendUnavailable while the circuit breaker is open.
        """
        ...

    def speak(self, request: ResolvedRequest, request_id: str = "", *, live: bool = False) -> EventStream:
        """Begin a stream on a started engine. It ends with exactly one Done or Fault.

        With `live` the request has no text: the text comes through `EventStream.feed` and goes to `Live.speak_live`.
        """
        ...

    def convert(self, request: ResolvedConversion, request_id: str = "") -> EventStream:
        """Begin a stream of `Converter.convert`, in the same way as `speak`."""
        ...

    async def call(self, method: str, *args: Any) -> Any:
        """Call a method of the synthesizer that returns a value (`voices`, `make_voice`, `encode`, ...).

        Returns builtins, to be converted with msgspec. Raises the method's HubError. A cancelled call still runs to
        its end in the worker.
        """
        ...

    async def measure(self) -> int | None:
        """Bytes of its device that the model's process holds, as the process reports them; None if it reports none."""
        ...

    async def stop(self) -> None:
        """Stop the model and free its memory; streams under way end with a `backend_unavailable` fault."""
        ...
