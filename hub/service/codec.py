"""encode() and decode(): a model's codec, with a place in its lane as speech has one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import msgspec
import numpy as np
from msgspec import Struct

from hub.contract.errors import BackendFailed, DeadlineExceeded, EmptyAudio, InvalidRequest, TooLarge
from hub.contract.event import AudioChunk, Done, Mark
from hub.contract.tokens import Tokens
from hub.service.checks import check_able
from hub.service.ledger import Ledger
from hub.service.models import Model
from hub.service.speech import decode_recording, reported

if TYPE_CHECKING:
    from hub.service.hub import Hub

MOST_FRAMES = 250_000
"""Frames of one request: over an hour of any codec that is in use."""

CAPABILITY = "codec", "turn audio into tokens and back"


class Encoded(Struct, kw_only=True, frozen=True):
    """What `Hub.encode` gives. `seconds` are the recording's."""

    model: str
    tokens: Tokens
    seconds: float


async def encode(hub: Hub, audio: bytes, *, model: str | None, request_id: str) -> Encoded:
    """See `Hub.encode`."""
    ledger = Ledger(hub, 0, request_id)
    with reported(ledger):
        chosen = _chosen(hub, model, ledger)
        wav = await decode_recording(audio, hub.settings.limits.reference_seconds)
        tokens = msgspec.convert(await _call(chosen, ledger, "encode", wav), Tokens)
        if not tokens.frames:
            raise BackendFailed(f"model {chosen.name!r} made no tokens of the recording; send a longer one")
    ledger.close("ok")
    return Encoded(model=chosen.name, tokens=tokens, seconds=seconds_of(wav))


async def decode(hub: Hub, tokens: Tokens, *, model: str | None, request_id: str) -> Decoded:
    """See `Hub.decode`."""
    ledger = Ledger(hub, 0, request_id)
    with reported(ledger):
        chosen = _chosen(hub, model, ledger)
        if not tokens.frames:
            raise InvalidRequest("there are no tokens: give at least one codebook with at least one token")
        if tokens.frames > MOST_FRAMES:
            raise TooLarge(
                f"there are {tokens.frames} frames of tokens, the limit is {MOST_FRAMES}; decode them in parts",
                frames=tokens.frames,
                limit=MOST_FRAMES,
            )
        chunk = msgspec.convert(await _call(chosen, ledger, "decode", tokens), AudioChunk)
        samples = np.frombuffer(chunk.pcm, "<f4")
        if not len(samples) or not np.isfinite(samples).all():
            raise EmptyAudio(f"model {chosen.name!r} made no audio of these tokens")
        ledger.count(chunk.seconds, waited=True)
    return Decoded(ledger, chunk)


def seconds_of(wav: bytes) -> float:
    """The length of a recording that the hub has decoded: mono 32-bit float WAV."""
    rate = int.from_bytes(wav[24:28], "little")
    return int.from_bytes(wav[:128].partition(b"data")[2][:4], "little") / 4 / rate


class Decoded:
    """Decoded tokens, in the shape of a Speech: one AudioChunk, then Done."""

    def __init__(self, ledger: Ledger, chunk: AudioChunk) -> None:
        self._ledger = ledger
        self._events: list[AudioChunk | Mark | Done] = [Done(), chunk]
        self.sample_rate = chunk.sample_rate
        self.request_id = ledger.request_id
        self.model = ledger.model
        self.voice = ""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AudioChunk | Mark | Done:
        if not self._events:
            raise StopAsyncIteration
        event = self._events.pop()
        if isinstance(event, Done):
            self._ledger.close("ok")
        return event

    async def aclose(self) -> None:
        """The caller leaves."""
        self._ledger.close("cancelled")


def _chosen(hub: Hub, name: str | None, ledger: Ledger) -> Model:
    model = hub.models.able(name, CAPABILITY[0])
    ledger.model, ledger.backend = model.name, model.spec.name
    if model.engine.loaded is not None:
        check_able(model.name, model.engine.loaded.capabilities, *CAPABILITY)
    return model


async def _call(model: Model, ledger: Ledger, method: str, argument: Any) -> Any:
    """Call the codec from a place in the model's lane. Whoever gives it up, the place is taken until the call ends."""
    until = ledger.arrived + model.settings.deadline
    slot = await model.lane.enter(until)
    try:
        loaded = await model.start(until)
        check_able(model.name, loaded.capabilities, *CAPABILITY)
        ledger.work_began()
        call = asyncio.create_task(model.engine.call(method, argument), name=f"{method} by {model.name}")
    except BaseException:
        slot.leave()
        raise

    def through(task: asyncio.Task[Any]) -> None:
        slot.leave()
        ledger.work_ended()
        if not task.cancelled():
            task.exception()  # seen, should nobody wait for it any more

    call.add_done_callback(through)
    try:
        async with asyncio.timeout_at(until):
            return await asyncio.shield(call)
    except TimeoutError:
        raise DeadlineExceeded(
            f"the codec of model {model.name!r} took too long; send less at once, or raise the model's `deadline`"
        ) from None
