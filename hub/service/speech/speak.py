"""speak(): from a SpeechRequest to checked audio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from msgspec.structs import replace

from hub.contract.backend import Loaded
from hub.contract.errors import DeadlineExceeded
from hub.contract.speech import ResolvedRequest, SpeechRequest
from hub.engine.stream import EventStream
from hub.service.models.ledger import Ledger, chars_of
from hub.service.models.model import Model
from hub.service.speech.answer import Speech, first_audio
from hub.service.speech.chain import Chain
from hub.service.speech.desk import Desk
from hub.service.speech.resolve import resolve
from hub.service.speech.script import Say, Script, pieces
from hub.service.speech.vet import Vetted, vet


async def speak(desk: Desk, request: SpeechRequest, *, request_id: str) -> Speech:
    """Speak; return with the first audio. The order: checks, lane, model, cast, voices, stream. Raises HubError."""
    with desk.ledger(request_id, chars=chars_of(request)).reported() as ledger:
        vetted = await vet(desk, request, ledger)
        return await begin_and_hear(desk, vetted, ledger)


async def begin_and_hear(desk: Desk, vetted: Vetted, ledger: Ledger) -> Speech:
    """Begin as `begin` does, and wait for the first audio."""
    return await first_audio(await begin(desk, vetted, ledger), deadline_of(vetted.model, ledger))


async def begin(desk: Desk, vetted: Vetted, ledger: Ledger, *, live: bool = False) -> Speech:
    """Wait for a place at the model, and begin. With `live` the caller feeds the text to the Speech."""
    model = vetted.model
    until = deadline_of(model, ledger)
    async with model.visit(ledger, until) as visit:
        cast = await vetted.cast_for(desk, visit.loaded)
        resolved = await in_time(resolve(desk.preparing, model, cast), model, until)
        ledger.voice = cast.speaking_voice
        stream: EventStream | Chain
        if live:
            stream = model.engine.speak(replace(resolved, text=None), ledger.request_id, live=True)
        else:
            stream = _stream(desk, model, vetted.script, resolved, visit.loaded, ledger.request_id)
        stream.when_ended(visit.outlast())
    return Speech(ledger, stream)


def deadline_of(model: Model, ledger: Ledger) -> float:
    """Return the loop time by which the first audio must arrive."""
    return ledger.arrived + model.settings.deadline


def _stream(
    desk: Desk, model: Model, script: Script, request: ResolvedRequest, loaded: Loaded, request_id: str
) -> EventStream | Chain:
    """Return a stream of the engine, or a Chain for several pieces or a rewritten text."""
    parts = pieces(script, request, model.name, loaded)
    first = parts[0]
    native = not request.turns or loaded.capabilities.dialogue
    if len(parts) == 1 and isinstance(first, Say) and first.origin.same and native:
        return model.engine.speak(first.request, request_id)

    def begin_piece(said: ResolvedRequest) -> EventStream:
        return model.engine.speak(said, request_id)

    return Chain(
        script,
        parts,
        begin_piece,
        model=model.name,
        ahead=desk.worker.buffer_seconds,
        stall_timeout=desk.worker.stall_timeout,
    )


async def in_time(resolving: Awaitable[ResolvedRequest], model: Model, until: float) -> ResolvedRequest:
    """Return the result of `resolving`. Raises DeadlineExceeded at loop time `until`."""
    try:
        async with asyncio.timeout_at(until):
            return await resolving
    except TimeoutError:
        raise DeadlineExceeded(
            f"model {model.name!r} is still preparing the voice; try again later, or raise its `deadline`",
            retry_after=5.0,
        ) from None
