"""The frames between the hub and a worker: 4 bytes of length (little-endian), then msgpack.

Hub to worker: Load, then any number of Start, Text, Call, Cancel, Credit and Measure. Worker to hub: Ready or Refused,
then any number of Event, Answer and Held, at last perhaps Broken. `id` names a stream or a call. End-of-file means,
both ways, that the other side is gone.

A request travels as `msgspec.Raw` inside Start and is decoded in a second step: if the worker cannot read it, only that
stream fails.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from hub.contract.backend import Capabilities, ModelConfig
from hub.contract.event import Fault, SpeechEvent
from hub.contract.voice import Voice

MAX_FRAME = 256 * 1024 * 1024
"""Bytes. A longer frame means that something else wrote to the pipe."""

_LENGTH = struct.Struct("<I")


class Load(Struct, tag="load", omit_defaults=True):
    """The first frame: import `module:Class`, load `model`, allow each stream `buffer_seconds` of unread audio.

    `capabilities` are the backend's; they hold if the synthesizer has none of its own.
    """

    synthesizer: str
    model: ModelConfig
    concurrency: int | None = None
    buffer_seconds: float = 60.0
    capabilities: Capabilities = Capabilities()


class Start(Struct, tag="start", omit_defaults=True):
    """Begin a stream. `request` is a ResolvedRequest; `live`: its text comes in Text frames.

    `convert`: the request is a ResolvedConversion.
    """

    id: int
    request: msgspec.Raw
    request_id: str = ""
    live: bool = False
    convert: bool = False


class Text(Struct, tag="text", omit_defaults=True):
    """A piece of the text of live stream `id`; None is its end."""

    id: int
    piece: str | None = None


class Call(Struct, tag="call", omit_defaults=True):
    """Call a method of the synthesizer; its Answer has the same id. `args` is a msgpack array."""

    id: int
    method: str
    args: msgspec.Raw = msgspec.Raw(b"\x90")


class Cancel(Struct, tag="cancel"):
    """Stop stream `id`."""

    id: int


class Credit(Struct, tag="credit"):
    """The consumer of stream `id` has taken `seconds` more of audio."""

    id: int
    seconds: float


class Measure(Struct, tag="measure"):
    """Say how much of the device the worker holds; only for a worker whose Ready says that it measures."""


class Ready(Struct, tag="ready", omit_defaults=True):
    """The model is loaded. `device`: where its weights are, if the synthesizer says; `weights`: their `weights_id`.

    `measures`: it answers Measure.
    """

    contract: int
    capabilities: Capabilities | None = None
    voices: tuple[Voice, ...] = ()
    concurrency: int = 1
    device: str = ""
    weights: str = ""
    measures: bool = False


class Refused(Struct, tag="refused"):
    """The model could not be loaded; the worker exits after this."""

    fault: Fault


class Event(Struct, tag="event"):
    """An event of stream `id`."""

    id: int
    event: SpeechEvent


class Answer(Struct, tag="answer", omit_defaults=True):
    """The value that a Call returned, or its fault."""

    id: int
    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    fault: Fault | None = None


class Held(Struct, tag="held", omit_defaults=True):
    """The answer to Measure: bytes of the device, None if the worker cannot tell."""

    size: int | None = None


class Broken(Struct, tag="broken"):
    """The worker's process can compute no more: the hub ends it, and starts another. `reason` goes on from "it"."""

    reason: str


ToWorker = Load | Start | Text | Call | Cancel | Credit | Measure
ToHub = Ready | Refused | Event | Answer | Held | Broken

to_worker_decoder: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
to_hub_decoder: msgspec.msgpack.Decoder[ToHub] = msgspec.msgpack.Decoder(ToHub)

_T = TypeVar("_T")


class FrameError(Exception):
    """The bytes on the pipe are not a frame."""


def frame(message: ToWorker | ToHub) -> bytes:
    """`message` as one frame. Raises FrameError if it is over MAX_FRAME."""
    buffer = bytearray(_LENGTH.size)
    msgspec.msgpack.Encoder().encode_into(message, buffer, _LENGTH.size)
    length = len(buffer) - _LENGTH.size
    if length > MAX_FRAME:
        raise FrameError(f"a frame of {length} bytes is over the limit of {MAX_FRAME}")
    _LENGTH.pack_into(buffer, 0, length)
    return bytes(buffer)


def raw(value: Any) -> msgspec.Raw:
    """Encode `value`, for the receiver to decode once it knows the type."""
    return msgspec.Raw(msgspec.msgpack.encode(value))


def read_frame(read: Callable[[int], bytes], decoder: msgspec.msgpack.Decoder[_T]) -> _T | None:
    """Read a frame with a blocking `read(n)`, which returns fewer than n bytes only at end-of-file; then None."""
    head = read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    length = frame_length(head)
    body = read(length)
    if len(body) < length:
        return None
    return decoder.decode(body)


def frame_length(head: bytes | bytearray) -> int:
    """The length in `head` (4 bytes). Raises FrameError if it is over MAX_FRAME."""
    length: int = _LENGTH.unpack(head)[0]
    if length > MAX_FRAME:
        raise FrameError(f"the next frame claims {length} bytes: something else writes to the pipe")
    return length


class FrameBuffer:
    """Frames out of a byte stream that arrives in pieces of any size."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[_T]) -> None:
        self._decoder = decoder
        self._data = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """Add `data`; return the messages that are now complete. Raises FrameError, or msgspec.DecodeError."""
        self._data += data
        messages = []
        start, size = 0, _LENGTH.size
        while len(self._data) - start >= size:
            end = start + size + frame_length(self._data[start : start + size])
            if len(self._data) < end:
                break
            # A copy, because a decoded `Raw` refers to the bytes that it was decoded from.
            messages.append(self._decoder.decode(self._data[start + size : end]))
            start = end
        if start:
            del self._data[:start]
        return messages
