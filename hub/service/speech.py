"""speak(): from a SpeechRequest to checked audio, and the only place that decides what counts as an answer."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import numpy as np
from msgspec.structs import replace

from hub.audio.decode import DecodeLimits, decode, to_wav_f32
from hub.contract.errors import BackendFailed, DeadlineExceeded, EmptyAudio, HubError, from_fault
from hub.contract.event import AudioChunk, Done, Fault, Mark
from hub.contract.speech import Reference, ResolvedRequest, SpeechRequest
from hub.engine.stream import EventStream
from hub.service.checks import check_capabilities, check_request, check_text
from hub.service.ledger import Ledger
from hub.service.models import Model
from hub.service.resolve import check_voices, resolve, speaking_voice, with_scene
from hub.text.speakable import clean

if TYPE_CHECKING:
    from hub.service.hub import Hub

SHORTEST = 0.05
"""Seconds: an answer to a text with letters that is shorter than this is no answer."""

SILENCE = 1e-4
"""Peak amplitude (-80 dBFS) under which audio counts as silent."""


async def speak(hub: Hub, request: SpeechRequest, *, request_id: str) -> Speech:
    """See `Hub.speak`. The order: checks, lane, model, checks that need the model, stream, first audio."""
    ledger = Ledger(hub, request, request_id)
    with _reported(ledger):
        speech, until = await _begin(hub, request, ledger)
        return await _first_audio(speech, until)


async def begin_live(hub: Hub, request: SpeechRequest, *, request_id: str) -> Speech:
    """The same for a model with `live_text`: the text is to be fed to the Speech, which is then to be primed.

    `request.text` is not spoken: it stands for the text in the checks.
    """
    ledger = Ledger(hub, replace(request, text=None), request_id)
    with _reported(ledger):
        speech, _ = await _begin(hub, request, ledger, live=True)
        return speech


@contextmanager
def _reported(ledger: Ledger) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        ledger.close(error.code if isinstance(error, HubError) else "cancelled")
        raise


async def _begin(hub: Hub, request: SpeechRequest, ledger: Ledger, *, live: bool = False) -> tuple[Speech, float]:
    """All up to the stream; also the loop time until which the first audio must come."""
    request = with_scene(request, None)
    model = hub.models.get(request.model)
    ledger.model, ledger.backend = model.name, model.spec.name
    until = ledger.arrived + model.settings.deadline
    check_request(request, model.spec, hub.settings.limits, hub.encoders)
    if model.engine.loaded is not None:
        check_capabilities(request, model.name, model.engine.loaded.capabilities)
        await check_voices(hub, model, model.engine.loaded, request)
    request = await _prepare(hub, model, request)
    check_text(request, hub.settings.limits)  # again: cleaning and filters may have left nothing
    slot = await model.lane.enter(until)
    try:
        loaded = await model.start(until)
        check_capabilities(request, model.name, loaded.capabilities)
        ledger.work_began()
        resolved = await _in_time(resolve(hub, model, loaded, request), model, until)
        ledger.voice = speaking_voice(request, model)
        if live:
            resolved = replace(resolved, text=None)
        stream = model.engine.speak(resolved, ledger.request_id, live=live)
    except BaseException:
        slot.leave()
        raise

    def through() -> None:
        slot.leave()
        ledger.work_ended()

    stream.on_end = through
    return Speech(ledger, stream), until


async def _prepare(hub: Hub, model: Model, request: ResolvedRequest) -> ResolvedRequest:
    """The request as its model will get it: cleaned and filtered text, decoded references."""

    def rewrite(text: str) -> str:
        text = clean(text)
        for text_filter in hub.text_filters:
            text = text_filter.filter(text, request)
        return text

    return replace(
        request,
        model=model.name,
        text=rewrite(request.text) if request.text is not None else None,
        turns=tuple(replace(turn, text=rewrite(turn.text)) for turn in request.turns),
        references=await _decode_references(request.references, hub.settings.limits.reference_seconds),
    )


async def _decode_references(references: tuple[Reference, ...], seconds: float) -> tuple[Reference, ...]:
    def decoded(reference: Reference) -> Reference:
        audio = decode(reference.audio, limits=DecodeLimits(seconds=seconds))
        return replace(reference, audio=to_wav_f32(audio))

    return tuple([await asyncio.to_thread(decoded, reference) for reference in references])


async def _in_time(resolving: Awaitable[ResolvedRequest], model: Model, until: float) -> ResolvedRequest:
    try:
        async with asyncio.timeout_at(until):
            return await resolving
    except TimeoutError:
        raise DeadlineExceeded(
            f"model {model.name!r} is still preparing the voice; try again later, or raise its `deadline`",
            retry_after=5.0,
        ) from None


async def _first_audio(speech: Speech, until: float) -> Speech:
    try:
        async with asyncio.timeout_at(until):
            await speech.prime()
    except TimeoutError:
        raise DeadlineExceeded(
            f"model {speech.model!r} gave no audio in time; try again later, or raise its `deadline`"
        ) from None
    return speech


class Speech:
    """An answer under way: an async iterator of AudioChunk and Mark, then one Done. Raises HubError on a fault.

    Made by `Hub.speak`, which has already seen audio that is worth a 200. Close it (`aclose`, or `contextlib.aclosing`)
    when leaving early: that stops the model.
    """

    def __init__(self, ledger: Ledger, stream: EventStream) -> None:
        self._ledger = ledger
        self._stream = stream
        self._primed: deque[AudioChunk | Mark | Done] = deque()
        self._seconds = 0.0
        self._peak = 0.0
        self.sample_rate = 0

    @property
    def request_id(self) -> str:
        """The id under which the logs know this request."""
        return self._ledger.request_id

    @property
    def model(self) -> str:
        """The model that speaks."""
        return self._ledger.model

    @property
    def voice(self) -> str:
        """The voice that speaks; "" for references, or a model without presets."""
        return self._ledger.voice

    @property
    def _proven(self) -> bool:
        return self._seconds >= SHORTEST and self._peak > SILENCE

    async def prime(self) -> None:
        """Read ahead to audio that is long enough and not silent. Raises EmptyAudio or the stream's fault."""
        try:
            while not self._proven:
                event = await self._next()
                if isinstance(event, Done):
                    raise EmptyAudio(_emptiness(self._seconds, self._ledger.model), seconds=round(self._seconds, 4))
                self._primed.append(event)
        except BaseException as error:
            self._stream.close()
            if isinstance(error, HubError):
                self._ledger.close(error.code)
            raise

    def feed(self, piece: str | None) -> None:
        """A piece of the text of a live speech, or None at its end."""
        if piece is not None:
            self._ledger.read(len(piece))
        self._stream.feed(piece)

    async def generated(self) -> None:
        """Wait until the model is through, however much is still to be read here."""
        await self._stream.ended.wait()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AudioChunk | Mark | Done:
        if self._primed:
            return self._primed.popleft()
        try:
            event = await self._next()
        except HubError as error:
            self._ledger.close(error.code)
            raise
        if isinstance(event, Done):
            self._ledger.close("ok")
        return event

    async def _next(self) -> AudioChunk | Mark | Done:
        waited = self._stream.waiting
        event = await anext(self._stream)
        if isinstance(event, AudioChunk):
            self._check(event)
            self._ledger.count(event.seconds, waited=waited)
        elif isinstance(event, Fault):
            raise from_fault(event)
        return event

    def _check(self, chunk: AudioChunk) -> None:
        """Every chunk is finite and at the one rate; the first ones also tell whether anything is to be heard."""
        samples = np.frombuffer(chunk.pcm, "<f4")
        peak = float(np.abs(samples).max(initial=0.0))
        if not math.isfinite(peak):
            self._stream.close()
            raise EmptyAudio(f"model {self.model!r} gave samples that are not numbers; try again, or another seed")
        if self.sample_rate not in (0, chunk.sample_rate) or chunk.sample_rate <= 0:
            self._stream.close()
            raise BackendFailed(f"model {self.model!r} changed its sample rate within one answer")
        self.sample_rate = chunk.sample_rate
        self._peak = max(self._peak, peak)
        self._seconds += chunk.seconds

    async def aclose(self) -> None:
        """The caller leaves. The model stops within one chunk; after a complete answer this does nothing."""
        self._stream.close()
        self._ledger.close("cancelled")


def _emptiness(seconds: float, model: str) -> str:
    if seconds == 0:
        what = "no audio"
    elif seconds < SHORTEST:
        what = f"only {seconds * 1000:.0f} ms of audio"
    else:
        what = "only silence"
    return f"model {model!r} gave {what} for this text; try again, or another wording or seed"
