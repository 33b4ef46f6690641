"""A worker: one process with one loaded model. It runs `python -m hub.engine.worker`, with frames on stdin and stdout.

It needs the standard library, msgspec and `hub.contract`, so it runs in any interpreter that has the plugin.

- Frames go to a copy of file descriptor 1. Before the plugin is imported, 1 itself points to stderr: libraries print.
- End-of-file on stdin ends the process, even while the model loads, so a hub that dies leaves no orphan.
- Each stream runs in a thread of a pool of `concurrency`; a lock keeps frames whole.
- A stream may be `buffer_seconds` of audio ahead of its consumer; then it waits for Credit. Reading never stops.
"""

from __future__ import annotations

import importlib
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, BinaryIO

import msgspec

from hub.contract.backend import CONTRACT, Capabilities, Synthesizer
from hub.contract.conversion import ResolvedConversion
from hub.contract.errors import BackendCrashed, HubError, InvalidRequest, OutOfMemory, WorkerStartFailed
from hub.contract.event import AudioChunk, Done, Fault, Mark
from hub.contract.speech import ResolvedRequest, VoicePart
from hub.contract.tokens import Tokens
from hub.contract.voice import VoiceDraft
from hub.engine import wire
from hub.engine.abilities import Abilities, abilities_of
from hub.engine.device_errors import device_error
from hub.engine.pump import TRY_AGAIN, Running, fault_of, pump
from hub.engine.weights import weights_id

CLOSE_TIMEOUT = 5.0
"""Seconds that a synthesizer's `close` may take before the process ends without it."""

CALLABLE: dict[str, tuple[Any, ...]] = {
    "voices": (),
    "make_voice": (VoiceDraft,),
    "mix_voices": (list[VoicePart],),
    "encode": (bytes,),
    "decode": (Tokens,),
}
"""The methods that a Call may name, with their argument types."""

log = logging.getLogger("hub.worker")

_request_decoder = msgspec.msgpack.Decoder(ResolvedRequest)
_conversion_decoder = msgspec.msgpack.Decoder(ResolvedConversion)


class Worker:
    """The worker. The main thread loads the model; a reader thread then distributes the work until end-of-file."""

    def __init__(self, inbox: BinaryIO, outbox: BinaryIO) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._write_lock = threading.Lock()
        self._to_load: queue.SimpleQueue[wire.Load] = queue.SimpleQueue()
        self._loaded = False
        self._closed = threading.Event()
        self._streams: dict[int, Running] = {}
        self._abilities: Abilities | None = None
        self._buffer_seconds = 60.0
        self._pool = ThreadPoolExecutor(1)

    def run(self) -> None:
        """Load, then serve until the hub closes the pipe."""
        threading.Thread(target=self._read, daemon=True, name="frames").start()
        if not self._load(self._to_load.get()):
            return
        self._closed.wait()
        for stream in list(self._streams.values()):
            stream.stop()
        closer = threading.Thread(target=self._loaded_abilities.synthesizer.close, daemon=True)
        closer.start()
        closer.join(CLOSE_TIMEOUT)

    @property
    def _loaded_abilities(self) -> Abilities:
        assert self._abilities is not None, "the hub sends no work before the worker is ready"
        return self._abilities

    def _read(self) -> None:
        try:
            while (message := wire.read_frame(self._inbox.read, wire.to_worker_decoder)) is not None:
                self._handle(message)
        finally:
            if not self._loaded:
                os._exit(0)  # the hub is gone, and the main thread may be stuck in the load
            self._closed.set()

    def _send(self, message: wire.ToHub) -> None:
        data = wire.frame(message)
        try:
            with self._write_lock:
                self._outbox.write(data)
                self._outbox.flush()
        except OSError:  # the hub is gone
            os._exit(0)

    def _load(self, load: wire.Load) -> bool:
        try:
            module, _, attribute = load.synthesizer.partition(":")
            synthesizer: Synthesizer = getattr(importlib.import_module(module), attribute)()
            synthesizer.load(load.model)
            own = getattr(synthesizer, "capabilities", None)
            capabilities = own if isinstance(own, Capabilities) else None
            abilities = abilities_of(synthesizer, capabilities or load.capabilities)
            declared = int(getattr(synthesizer, "concurrency", 1))
            device = str(getattr(synthesizer, "device", ""))
            weights = weights_id(getattr(synthesizer, "files", (load.model.path,)))
            voices = tuple(synthesizer.voices())
        except BaseException as error:  # an import may raise anything, SystemExit included
            if not isinstance(error, HubError):
                traceback.print_exc()
            self._send(wire.Refused(fault=_load_error(error).to_fault()))
            return False
        concurrency = max(1, min(declared, load.concurrency or declared))
        self._abilities = abilities
        self._buffer_seconds = load.buffer_seconds
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="speak")
        self._loaded = True
        self._send(
            wire.Ready(
                contract=CONTRACT,
                capabilities=capabilities,
                voices=voices,
                concurrency=concurrency,
                device=device,
                weights=weights,
                measures=abilities.memory is not None,
            )
        )
        return True

    def _handle(self, message: wire.ToWorker) -> None:
        if isinstance(message, wire.Credit):
            if (stream := self._streams.get(message.id)) is not None:
                stream.add_credit(message.seconds)
        elif isinstance(message, wire.Cancel):
            if (stream := self._streams.get(message.id)) is not None:
                stream.stop()
        elif isinstance(message, wire.Text):
            if (stream := self._streams.get(message.id)) is not None:
                stream.feed(message.piece)
        elif isinstance(message, wire.Start):
            stream = self._streams[message.id] = Running(self._buffer_seconds, live=message.live)
            self._pool.submit(self._speak, message, stream)
        elif isinstance(message, wire.Call):
            # A thread of its own, so that a voice can be prepared while every place for speaking is taken.
            threading.Thread(target=self._call, args=(message,), daemon=True).start()
        elif isinstance(message, wire.Measure):
            threading.Thread(target=self._measure, daemon=True).start()
        else:
            self._to_load.put(message)

    def _speak(self, start: wire.Start, stream: Running) -> None:
        def emit(event: AudioChunk | Mark) -> None:
            self._send(wire.Event(start.id, event))

        ending: Done | Fault
        try:
            decoder = _conversion_decoder if start.convert else _request_decoder
            request: ResolvedRequest | ResolvedConversion = decoder.decode(start.request)
        except msgspec.MsgspecError as error:
            ending = InvalidRequest(f"the model's worker cannot read this request: {error}").to_fault()
        else:
            begin = partial(self._loaded_abilities.begin, request, stream)
            ending = pump(begin, stream, emit, start.request_id)
        del self._streams[start.id]
        self._relieve(ending)
        self._send(wire.Event(start.id, ending))
        self._give_up(ending)

    def _call(self, call: wire.Call) -> None:
        answer = self._answer(call)
        self._relieve(answer.fault)
        self._send(answer)
        self._give_up(answer.fault)

    def _answer(self, call: wire.Call) -> wire.Answer:
        try:
            if call.method not in CALLABLE:
                raise InvalidRequest(f"a worker has no method {call.method!r}")
            types = CALLABLE[call.method]
            given = msgspec.msgpack.decode(call.args, type=list[msgspec.Raw])
            args: list[Any] = [msgspec.msgpack.decode(arg, type=kind) for arg, kind in zip(given, types, strict=True)]
            value = getattr(self._loaded_abilities.synthesizer, call.method)(*args)
            return wire.Answer(call.id, value=wire.raw(value))
        except BaseException as error:  # even then the hub waits for an answer
            return wire.Answer(call.id, fault=fault_of(error))

    def _measure(self) -> None:
        memory, held = self._loaded_abilities.memory, None
        try:
            held = memory.held() if memory is not None else None
        except Exception:  # the hub then asks the system
            log.exception("the memory of the device could not be measured")
        self._send(wire.Held(held))

    def _relieve(self, ending: Done | Fault | None) -> None:
        """Free the device's caches if it was full. By now the error is gone, and all that its traceback held."""
        memory = self._loaded_abilities.memory
        if memory is None or not isinstance(ending, Fault) or ending.code != OutOfMemory.code:
            return
        try:
            memory.free()
        except Exception:  # the request has failed already, and the next one may work
            log.exception("the caches of the device could not be freed")

    def _give_up(self, ending: Done | Fault | None) -> None:
        """Tell the hub to end this process if the device can be used no more: every further request would fail."""
        if isinstance(ending, Fault) and ending.code == BackendCrashed.code:
            self._send(wire.Broken("lost its device"))


def _load_error(error: BaseException) -> HubError:
    """The typed error of a backend that did not load."""
    if device_error(error) == "memory":
        return OutOfMemory(
            "the model's device has too little free memory to load the model; free some, or choose another device",
            retry_after=TRY_AGAIN,
        )
    if isinstance(error, HubError):
        return error
    return WorkerStartFailed(f"the backend did not load ({type(error).__name__}); the hub's log has the details")


def main() -> None:
    """Take over stdin and stdout, and serve the hub."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches the hub, which stops this worker
    inbox = os.fdopen(os.dup(0), "rb")
    outbox = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    Worker(inbox, outbox).run()
    outbox.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that are stuck in a model must not keep the process alive


if __name__ == "__main__":
    main()
