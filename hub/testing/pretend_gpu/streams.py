"""Streams, events and the current device of each thread.

Work is done at once, in the order in which the host asks for it. What a real GPU does later is the end of an
asynchronous copy to the host: the copy's bytes are delivered when the host has waited for its stream, by whatever way;
until then the destination holds garbage.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from hub.testing.pretend_gpu.machine import active
from hub.testing.pretend_gpu.rules import EventElsewhere

_ids = itertools.count(1)


class Stream:
    """`torch.cuda.Stream`."""

    def __init__(self, device: Any = None, priority: int = 0, *, number: int | None = None, **_: Any) -> None:
        self.device = active().device(device)
        self.priority = priority
        self.stream_id = self.cuda_stream = next(_ids) if number is None else number
        self.place = 0
        """How many pieces of deferred work there have been."""
        self._deferred: list[tuple[int, Callable[[], None], int | None]] = []
        active().streams.add(self)

    @property
    def device_index(self) -> int:
        """The number of its device."""
        return int(self.device.index)

    def defer(self, work: Callable[[], None], *, copied_by: int | None = None) -> None:
        """Keep `work` until somebody waits for it. `copied_by` is the thread that asked for a copy to the host."""
        with active().lock:
            self.place += 1
            self._deferred.append((self.place, work, copied_by))

    def copies_for(self, thread: int) -> bool:
        """True if a copy that `thread` asked for has not ended."""
        return any(asked_by == thread for _, _, asked_by in self._deferred)

    @property
    def has_deferred(self) -> bool:
        """True if some work has not ended."""
        return bool(self._deferred)

    def drain(self, place: int | None = None) -> None:
        """Finish the deferred work up to `place`, or all."""
        with active().lock:
            ready = [work for number, work, _ in self._deferred if place is None or number <= place]
            self._deferred = [one for one in self._deferred if place is not None and one[0] > place]
            for work in ready:  # inside the lock: whoever finds nothing deferred must find it done
                work()

    def synchronize(self) -> None:
        """Let the host wait for all work."""
        active().host_waits("Stream.synchronize()")
        self.drain()

    def query(self) -> bool:
        """True if all work has ended, which this call finds out by ending it."""
        active().host_waits("Stream.query()")
        self.drain()
        return True

    def wait_event(self, event: Event) -> None:
        """Let later work here wait for `event`."""
        if event.stream is not None:
            _join(self, event.stream)
            waited, place = event.stream, event.place
            if waited.has_deferred:
                self.defer(lambda: waited.drain(place))

    def wait_stream(self, stream: Stream) -> None:
        """Let later work here wait for the work of `stream` up to now."""
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        """Record `event`, or a new one."""
        event = event or Event()
        event.mark(self)
        return event

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self.device, self.stream_id) == (other.device, other.stream_id)

    def __hash__(self) -> int:
        return hash((self.device, self.stream_id))

    def __enter__(self) -> Stream:
        self._entered = stream(self)
        self._entered.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._entered.__exit__(*error)


class Event:
    """`torch.cuda.Event`."""

    def __init__(self, enable_timing: bool = False, blocking: bool = False, interprocess: bool = False, **_: Any):
        self.stream: Stream | None = None
        self.place = 0

    def record(self, stream: Stream | None = None) -> None:
        """Mark this place of `stream`, by default of the current stream of the current device.

        Raises EventElsewhere if this thread has begun copies to the host on another device, and none on this one.
        """
        stream = stream or current_stream()
        mine = threading.get_ident()
        if not stream.copies_for(mine):
            others = [one for one in all_streams() if one.device != stream.device and one.copies_for(mine)]
            if others:
                raise EventElsewhere(f"recorded on {stream.device}, where the copy is on {others[0].device}")
        self.mark(stream)

    def mark(self, stream: Stream) -> None:
        """Remember a place of `stream`."""
        self.stream, self.place = stream, stream.place

    def synchronize(self) -> None:
        """Let the host wait."""
        active().host_waits("Event.synchronize()")
        if self.stream is not None:
            self.stream.drain(self.place)

    def query(self) -> bool:
        """True; the call ends the work before the event."""
        active().host_waits("Event.query()")
        if self.stream is not None:
            self.stream.drain(self.place)
        return True

    def wait(self, stream: Stream | None = None) -> None:
        """Let `stream` wait for this event."""
        (stream or current_stream()).wait_event(self)

    def elapsed_time(self, end: Event) -> float:
        """0.0: nothing takes time here."""
        return 0.0


def current_stream(device: Any = None) -> Stream:
    """This thread's current stream of `device`."""
    machine = active()
    found = machine.device(device)
    chosen: dict[int, Stream] = machine.here.__dict__.setdefault("streams", {})
    return chosen.get(found.index) or default_stream(found)


def default_stream(device: Any = None) -> Stream:
    """The default stream of `device`."""
    machine = active()
    found = machine.device(device)
    with machine.lock:
        made: Stream | None = machine.default_streams.get(found.index)
        if made is None:
            made = machine.default_streams[found.index] = Stream(found, number=0)
        return made


def set_stream(stream: Stream | None) -> None:
    """Make `stream` this thread's current one, and its device the current device."""
    if stream is not None:
        here = active().here
        here.__dict__.setdefault("streams", {})[stream.device.index] = stream
        here.device = stream.device.index


@contextmanager
def stream(chosen: Stream | None) -> Iterator[None]:
    """`torch.cuda.stream`: work in the block goes to `chosen`."""
    if chosen is None:
        yield
        return
    here = active().here
    before, device = current_stream(chosen.device), active().current
    set_stream(chosen)
    try:
        yield
    finally:
        here.streams[chosen.device.index] = before
        here.device = device


@contextmanager
def device(chosen: Any) -> Iterator[None]:
    """`torch.cuda.device`: the current device of the block."""
    machine = active()
    before = machine.current
    if chosen is not None and chosen != -1:
        machine.here.device = machine.device(chosen).index
    try:
        yield
    finally:
        machine.here.device = before


def all_streams() -> list[Stream]:
    """The streams of all devices."""
    return list(active().streams)


def _join(waiting: Stream, waited: Stream) -> None:
    """Take `waiting` into the capture that `waited` belongs to, as CUDA forks a capture."""
    capture = active().inside()
    if capture is not None and waited in capture.streams:
        capture.streams.add(waiting)


def synchronize(device: Any = None) -> None:
    """`torch.cuda.synchronize`: the host waits for all streams of a device."""
    machine = active()
    machine.undisturbed("torch.cuda.synchronize()")
    machine.host_waits("torch.cuda.synchronize()")
    found = machine.device(device)
    for one in all_streams():
        if one.device == found:
            one.drain()


def drain_current(device: torch.device) -> None:
    """The host has waited for the current stream of `device`."""
    current_stream(device).drain()
