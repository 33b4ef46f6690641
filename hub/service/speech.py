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
from hub.engine.base import Loaded
from hub.engine.stream import EventStream
from hub.service.casting import with_cast
from hub.service.chain import Chain
from hub.service.checks import check_capabilities, check_request
from hub.service.dictionaries import NONE, check_phonemes
from hub.service.emptiness import emptiness, is_empty
from hub.service.ledger import Ledger, chars_of
from hub.service.models import Model
from hub.service.resolve import check_voices, resolve, speaking_voice, with_scene
from hub.service.script import Say, Script, pieces, read_script
from hub.text.pronunciations import Pronunciations

if TYPE_CHECKING:
    from hub.service.hub import Hub


async def speak(hub: Hub, request: SpeechRequest, *, request_id: str) -> Speech:
    """See `Hub.speak`. The order: checks, lane, model, checks that need the model, stream, first audio."""
    ledger = Ledger(hub, chars_of(request), request_id)
    with reported(ledger):
        speech, until = await _begin(hub, request, ledger)
        return await first_audio(speech, until)


async def begin_live(hub: Hub, request: SpeechRequest, *, request_id: str) -> Speech:
    """The same for a model with `live_text`: the text is to be fed to the Speech, which is then to be primed.

    `request.text` is not spoken: it stands for the text in the checks.
    """
    ledger = Ledger(hub, chars_of(replace(request, text=None)), request_id)
    with reported(ledger):
        speech, _ = await _begin(hub, request, ledger, live=True)
        return speech


@contextmanager
def reported(ledger: Ledger) -> Iterator[None]:
    """What is raised within is the outcome that `ledger` reports."""
    try:
        yield
    except BaseException as error:
        ledger.close(error.code if isinstance(error, HubError) else "cancelled")
        raise


async def _begin(hub: Hub, request: SpeechRequest, ledger: Ledger, *, live: bool = False) -> tuple[Speech, float]:
    """All up to the stream; also the loop time until which the first audio must come."""
    scene = await asyncio.to_thread(hub.scenes.get, request.scene) if request.scene is not None else None
    request = with_scene(request, scene)
    model = hub.models.get(request.model)
    ledger.model, ledger.backend = model.name, model.spec.name
    until = ledger.arrived + model.settings.deadline
    check_request(request, model.spec, hub.settings.limits, hub.encoders)
    words = await _pronunciations(hub, request)
    if model.engine.loaded is not None:
        cast = _fitting(request, model, model.engine.loaded, words)
        await check_voices(hub, model, model.engine.loaded, cast)
    reading = request, hub.text_filters, words, hub.settings.limits.text_chars
    script = read_script(*reading) if words is NONE else await asyncio.to_thread(read_script, *reading)
    references = await decode_references(request.references, hub.settings.limits.reference_seconds)
    request = replace(request, model=model.name, references=references)
    slot = await model.lane.enter(until)
    try:
        loaded = await model.start(until)
        request = _fitting(request, model, loaded, words)
        ledger.work_began()
        resolved = await in_time(resolve(hub, model, loaded, request), model, until)
        ledger.voice = speaking_voice(request, model)
        stream: EventStream | Chain
        if live:
            stream = model.engine.speak(replace(resolved, text=None), ledger.request_id, live=True)
        else:
            stream = _stream(hub, model, script, resolved, loaded, ledger.request_id)
    except BaseException:
        slot.leave()
        raise

    def through() -> None:
        slot.leave()
        ledger.work_ended()

    stream.on_end = through
    return Speech(ledger, stream), until


async def _pronunciations(hub: Hub, request: SpeechRequest) -> Pronunciations:
    if not request.pronunciations and request.dictionary is None:
        return NONE
    return await asyncio.to_thread(hub.dictionaries.pronunciations, request)


def _fitting(request: ResolvedRequest, model: Model, loaded: Loaded, words: Pronunciations) -> ResolvedRequest:
    """The request with its cast complete, if the model can do all that it asks for."""
    check_capabilities(request, model.name, loaded.capabilities)
    check_phonemes(words, model.name, loaded.capabilities)
    return with_cast(request, model.name, loaded, model.default_voice)


def _stream(
    hub: Hub, model: Model, script: Script, request: ResolvedRequest, loaded: Loaded, request_id: str
) -> EventStream | Chain:
    """One stream straight from the engine, unless there are several pieces, or a text that was rewritten."""
    parts = pieces(script, request, model.name, loaded.capabilities, model.default_voice)
    first = parts[0]
    native = not request.turns or loaded.capabilities.dialogue
    if len(parts) == 1 and isinstance(first, Say) and first.origin.same and native:
        return model.engine.speak(first.request, request_id)

    def begin(said: SpeechRequest) -> EventStream:
        return model.engine.speak(said, request_id)

    worker = hub.settings.worker
    return Chain(
        script, parts, begin, model=model.name, ahead=worker.buffer_seconds, stall_timeout=worker.stall_timeout
    )


async def decode_references(references: tuple[Reference, ...], seconds: float) -> tuple[Reference, ...]:
    """The references as a synthesizer gets them. Raises InvalidAudio, TooLarge."""
    return tuple(
        [replace(reference, audio=await decode_recording(reference.audio, seconds)) for reference in references]
    )


async def decode_recording(audio: bytes, seconds: float) -> bytes:
    """An uploaded recording of at most so many seconds, as mono 32-bit float WAV. Raises InvalidAudio, TooLarge."""
    return await asyncio.to_thread(lambda: to_wav_f32(decode(audio, limits=DecodeLimits(seconds=seconds))))


async def in_time(resolving: Awaitable[ResolvedRequest], model: Model, until: float) -> ResolvedRequest:
    """What `resolving` gives, before loop time `until`. Raises DeadlineExceeded."""
    try:
        async with asyncio.timeout_at(until):
            return await resolving
    except TimeoutError:
        raise DeadlineExceeded(
            f"model {model.name!r} is still preparing the voice; try again later, or raise its `deadline`",
            retry_after=5.0,
        ) from None


async def first_audio(speech: Speech, until: float) -> Speech:
    """`speech`, primed, before loop time `until`. Raises DeadlineExceeded, or what `Speech.prime` raises."""
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

    def __init__(self, ledger: Ledger, stream: EventStream | Chain) -> None:
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
        return not is_empty(self._seconds, self._peak)

    async def prime(self) -> None:
        """Read ahead to audio that is long enough and not silent. Raises EmptyAudio or the stream's fault."""
        try:
            while not self._proven:
                event = await self._next()
                if isinstance(event, Done):
                    raise EmptyAudio(emptiness(self._seconds, self._ledger.model), seconds=round(self._seconds, 4))
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

    def fail(self, error: HubError) -> None:
        """Stop the model, and report `error` as the outcome."""
        self._stream.close(error)
        self._ledger.close(error.code)

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
