"""encode() and decode(): calls to a model's codec, which take a place at the model as speech does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

import msgspec
import numpy as np

from hub.audio.wav import wav_facts
from hub.contract.errors import BackendFailed, DeadlineExceeded, EmptyAudio, InvalidRequest, TooLarge
from hub.contract.event import AudioChunk, Done, Mark
from hub.contract.tokens import Encoded, Tokens
from hub.service.models.ledger import Ledger
from hub.service.models.model import Model
from hub.service.speech.checks import check_able
from hub.service.speech.desk import Desk
from hub.service.speech.vet import decode_recording

MOST_FRAMES = 250_000
"""Most frames of one request: over an hour with any codec in use."""

CAPABILITY = "codec", "turn audio into tokens and back"


async def encode(desk: Desk, audio: bytes, *, model: str | None, request_id: str) -> Encoded:
    """Return the tokens of a recording, made by a model with a codec. Raises HubError."""
    with desk.ledger(request_id).reported() as ledger:
        chosen = _chosen(desk, model, ledger)
        wav = await decode_recording(audio, desk.limits.reference_seconds)
        tokens = msgspec.convert(await _call(chosen, ledger, "encode", wav), Tokens)
        if not tokens.frames:
            raise BackendFailed(f"model {chosen.name!r} made no tokens of the recording; send a longer one")
    ledger.close("ok")
    return Encoded(model=chosen.name, tokens=tokens, seconds=wav_facts(wav).seconds)


async def decode(desk: Desk, tokens: Tokens, *, model: str | None, request_id: str) -> Decoded:
    """Return the audio of tokens, made by a model with a codec. Raises HubError."""
    with desk.ledger(request_id).reported() as ledger:
        chosen = _chosen(desk, model, ledger)
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
        """End the request early."""
        self._ledger.close("cancelled")


def _chosen(desk: Desk, name: str | None, ledger: Ledger) -> Model:
    model = desk.models.able(name, CAPABILITY[0])
    ledger.about(model.name, model.spec.name)
    if model.loaded is not None:
        check_able(model.name, model.loaded.capabilities, *CAPABILITY)
    return model


async def _call(model: Model, ledger: Ledger, method: str, argument: Any) -> Any:
    """Call the codec, holding a place at the model until the call ends, even if its caller has left."""
    until = ledger.arrived + model.settings.deadline
    async with model.visit(ledger, until) as visit:
        check_able(model.name, visit.loaded.capabilities, *CAPABILITY)
        call = asyncio.create_task(model.engine.call(method, argument), name=f"{method} by {model.name}")
        leave = visit.outlast()
    call.add_done_callback(lambda task: _through(task, leave))
    try:
        async with asyncio.timeout_at(until):
            return await asyncio.shield(call)
    except TimeoutError:
        raise DeadlineExceeded(
            f"the codec of model {model.name!r} took too long; send less at once, or raise the model's `deadline`"
        ) from None


def _through(call: asyncio.Task[Any], leave: Callable[[], None]) -> None:
    leave()
    if not call.cancelled():
        call.exception()  # retrieve it, in case the caller has left
