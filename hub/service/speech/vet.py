"""vet(): all checks of a request before it waits in the lane. For requests, live text and tasks.

The order: the scene, the model, the request itself, its dictionary, its text, the cast if the model is loaded, the
recordings, and the voices of the cast. If the model was loaded anew by the time of the request's turn, the checks that
need the loaded model are made again.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import structs

from hub.audio.decode import DecodeLimits, decode, to_wav_f32
from hub.contract.backend import Loaded
from hub.contract.speech import Reference, ResolvedRequest, SpeechRequest
from hub.plugin.filters import TextFilter
from hub.service.models.ledger import Ledger
from hub.service.models.model import Model
from hub.service.speech.cast import Cast, cast
from hub.service.speech.checks import check_capabilities, check_request, check_text
from hub.service.speech.desk import Desk
from hub.service.speech.resolve import check_voices
from hub.service.speech.script import Script, read
from hub.service.speech.settle import settle
from hub.settings import LimitSettings
from hub.text.pronunciations import NONE, Pronunciations


@dataclass(frozen=True)
class Settled:
    """A request joined with its scene, its model, and the words of its dictionary."""

    request: ResolvedRequest
    model: Model
    words: Pronunciations


@dataclass(frozen=True)
class Vetted:
    """A request ready for the lane. Its references are decoded; `cast` is None if the model was not loaded."""

    request: ResolvedRequest
    model: Model
    words: Pronunciations
    script: Script
    cast: Cast | None

    async def cast_for(self, desk: Desk, loaded: Loaded) -> Cast:
        """Return the cast for the model as loaded now. Raises UnsupportedCapability, InvalidRequest, UnknownVoice."""
        if self.cast is not None and self.cast.loaded is loaded:
            return self.cast
        return await checked_cast(desk, self.request, self.model.name, loaded, self.words)


async def vet(
    desk: Desk, request: SpeechRequest, ledger: Ledger | None = None, *, filters: Sequence[TextFilter] | None = None
) -> Vetted:
    """Check a request and decode its recordings; enter its model in `ledger`. Raises HubError.

    `filters` replace the desk's text filters.
    """
    settled = await settled_for(desk, request, ledger)
    request, model, words = settled.request, settled.model, settled.words
    filters = desk.text_filters if filters is None else filters
    script = await read_script(request, filters, words, desk.limits.text_chars)
    # What a loaded model cannot do is refused before anything is decoded for it.
    loaded = model.loaded
    known = cast(request, model.name, loaded, words) if loaded is not None else None
    references = await decode_references(request.references, desk.limits.reference_seconds)
    request = structs.replace(request, references=references)
    if known is not None:
        known = dataclasses.replace(known, request=request)
        await check_voices(desk.voices, known)
    return Vetted(request, model, words, script, known)


async def vet_early(desk: Desk, request: SpeechRequest, *, filters: Sequence[TextFilter] | None = None) -> Vetted:
    """Vet a request to be spoken later; if its model is not loaded, check it against the backend's capabilities."""
    vetted = await vet(desk, request, filters=filters)
    if vetted.cast is None:
        check_capabilities(vetted.request, vetted.model.name, vetted.model.capabilities)
    return vetted


async def with_text(desk: Desk, vetted: Vetted, text: str) -> Vetted:
    """Return the request with another text, a sentence of a live text. Raises HubError if it cannot be spoken."""
    request = structs.replace(vetted.request, text=text)
    check_text(request, desk.limits)
    script = await read_script(request, desk.text_filters, vetted.words, desk.limits.text_chars)
    known = None if vetted.cast is None else dataclasses.replace(vetted.cast, request=request)
    return dataclasses.replace(vetted, request=request, script=script, cast=known)


async def settled_for(desk: Desk, request: SpeechRequest, ledger: Ledger | None = None) -> Settled:
    """Settle a request and make the checks that need neither its script nor the loaded model. Raises HubError."""
    if request.scene is None and request.dictionary is None:
        return look_over(desk, request, ledger=ledger)
    return await asyncio.to_thread(look_over, desk, request, ledger=ledger)


def look_over(
    desk: Desk, request: SpeechRequest, *, limits: LimitSettings | None = None, ledger: Ledger | None = None
) -> Settled:
    """Do the work of `settled_for`; `limits` replace the desk's. It may read files: call it in a thread."""
    settled, model = settled_now(desk, request)
    if ledger is not None:
        ledger.about(model.name, model.spec.name)
    check_request(settled, model.spec, limits or desk.limits, desk.encoders)
    return Settled(settled, model, words_of(desk, settled))


def settled_now(desk: Desk, request: SpeechRequest) -> tuple[ResolvedRequest, Model]:
    """Return the request joined with its scene, with its model's name, and the model. Raises NotFound."""
    settled = settle(request, desk.scenes.get(request.scene) if request.scene is not None else None)
    model = desk.models.get(settled.model)
    return structs.replace(settled, model=model.name), model


def words_of(desk: Desk, request: SpeechRequest) -> Pronunciations:
    """Return the request's pronunciations, including its dictionary's. Raises NotFound, InvalidRequest."""
    if not request.pronunciations and request.dictionary is None:
        return NONE
    return desk.dictionaries.pronunciations(request)


async def checked_cast(
    desk: Desk, request: ResolvedRequest, model: str, loaded: Loaded, words: Pronunciations = NONE
) -> Cast:
    """Return the cast, with its capabilities and voices checked. Raises HubError."""
    found = cast(request, model, loaded, words)
    await check_voices(desk.voices, found)
    return found


async def read_script(
    request: ResolvedRequest, filters: Sequence[TextFilter], words: Pronunciations, longest: int
) -> Script:
    """Read the script of a request, in a thread if there are text filters: plugins' code may be slow."""
    if not filters and words is NONE:
        return read(request, filters, words, longest)
    return await asyncio.to_thread(read, request, filters, words, longest)


async def decode_references(references: tuple[Reference, ...], seconds: float) -> tuple[Reference, ...]:
    """Return the references as a synthesizer gets them. Raises InvalidAudio, TooLarge."""
    return tuple(
        [structs.replace(reference, audio=await decode_recording(reference.audio, seconds)) for reference in references]
    )


async def decode_recording(audio: bytes, seconds: float) -> bytes:
    """Return a recording of at most `seconds` as mono 32-bit float WAV. Raises InvalidAudio, TooLarge."""
    return await asyncio.to_thread(lambda: to_wav_f32(decode(audio, limits=DecodeLimits(seconds=seconds))))
