"""One stream of a synthesizer, in the worker: flow control, cancellation, and errors as data."""

from __future__ import annotations

import logging
import queue
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from hub.contract.errors import BackendCrashed, BackendFailed, Cancelled, HubError, OutOfMemory
from hub.contract.event import AudioChunk, Done, Fault, Mark
from hub.engine.device_errors import device_error

log = logging.getLogger("hub.worker")

TRY_AGAIN = 5.0
"""Retry-After of a request for which the device had no memory left: other requests end, and free theirs."""

OF_THE_DEVICE = frozenset({OutOfMemory.code, BackendCrashed.code})
"""Codes of faults that concern the whole process and not one request."""


class Running:
    """A running stream: its stop flag, its credit, and its text if that is live. `speak` gets it as its `Stop`."""

    def __init__(self, credit: float, *, live: bool = False) -> None:
        self._pieces: queue.SimpleQueue[str | None] | None = queue.SimpleQueue() if live else None
        self._condition = threading.Condition()
        self._credit = credit
        self._stopped = False

    def is_set(self) -> bool:
        """True once the caller has left."""
        return self._stopped

    def stop(self) -> None:
        """Set the stop flag, because the caller has left; a stream that waits for credit or text wakes up."""
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
        self.feed(None)

    @property
    def live(self) -> bool:
        """True if the text comes in pieces."""
        return self._pieces is not None

    def feed(self, piece: str | None) -> None:
        """Add a piece of live text, or None at its end."""
        if self._pieces is not None:
            self._pieces.put(piece)

    def pieces(self) -> Iterator[str]:
        """The pieces of live text as they come, until the text ends or the caller has left."""
        assert self._pieces is not None
        while (piece := self._pieces.get()) is not None and not self._stopped:
            yield piece

    def add_credit(self, seconds: float) -> None:
        """Add `seconds` of audio, which the caller has taken."""
        with self._condition:
            self._credit += seconds
            self._condition.notify_all()

    def spend(self, seconds: float) -> None:
        """Wait until there is credit or the stream is stopped, then take `seconds`; the credit may become negative."""
        with self._condition:
            self._condition.wait_for(lambda: self._credit > 0 or self._stopped)
            self._credit -= seconds


def pump(
    begin: Callable[[], Iterator[AudioChunk | Mark | Done]],
    running: Running,
    emit: Callable[[AudioChunk | Mark], None],
    request_id: str = "",
) -> Done | Fault:
    """`begin` one request of a synthesizer, `emit` each event, and return the ending. Raises nothing.

    Once `running` is stopped, no further event is taken, even if the synthesizer does not look at the flag, and the
    ending is `cancelled`, or a fault of the device.
    """
    cancelled = Cancelled("the caller left").to_fault()
    if running.is_set():
        return cancelled
    report: dict[str, Any] = {}
    try:
        events = begin()
        try:
            for event in events:
                if isinstance(event, AudioChunk):
                    running.spend(event.seconds)
                elif isinstance(event, Done):  # a backend may end with a report
                    report = event.report
                    continue
                elif not isinstance(event, Mark):
                    raise TypeError(f"the synthesizer yielded {type(event).__name__}, not AudioChunk or Mark")
                if running.is_set():
                    return cancelled
                emit(event)
        finally:
            if (close := getattr(events, "close", None)) is not None:
                close()
    except BaseException as error:  # SystemExit from a library included: the stream must end whatever happens
        fault = fault_of(error, request_id)
        return cancelled if running.is_set() and fault.code not in OF_THE_DEVICE else fault
    return cancelled if running.is_set() else Done(report)


def fault_of(error: BaseException, request_id: str = "") -> Fault:
    """The fault of a typed error, of a device, or else `backend_failed`; the traceback is in the log only."""
    device = device_error(error)
    if isinstance(error, HubError) and device is None:
        return error.to_fault()
    log.error("request %s: %s", request_id or "-", "".join(traceback.format_exception(error)))
    kind = type(error).__name__
    if device == "memory":
        return OutOfMemory(
            "the model's device ran out of memory on this request; try again later, or send less at once",
            retry_after=TRY_AGAIN,
        ).to_fault()
    if device == "broken":
        return BackendCrashed(
            f"the model's device failed while it computed this request ({kind}), which is a mistake of the backend or "
            "of the driver; the model is being started again, try again"
        ).to_fault()
    return BackendFailed(f"the backend failed on this request ({kind}); the hub's log has the details").to_fault()
