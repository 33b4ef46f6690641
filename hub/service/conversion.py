"""convert(): a recording, said again by another voice. What `speak` is to a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from hub.audio.encode import check_format
from hub.contract.conversion import ConversionRequest, ResolvedConversion
from hub.contract.errors import InvalidRequest
from hub.contract.speech import ResolvedRequest, SpeechRequest
from hub.engine.base import Loaded
from hub.service.checks import check_able, check_capabilities, check_options
from hub.service.ledger import Ledger
from hub.service.models import Model
from hub.service.resolve import check_voices, resolve, speaking_voice
from hub.service.speech import Speech, decode_recording, decode_references, first_audio, in_time, reported

if TYPE_CHECKING:
    from hub.service.hub import Hub

CAPABILITY = "conversion", "say recordings again as another voice"


async def convert(hub: Hub, request: ConversionRequest, *, request_id: str) -> Speech:
    """See `Hub.convert`. The order: checks, lane, model, target voice, stream, first audio."""
    ledger = Ledger(hub, 0, request_id)
    with reported(ledger):
        speech, until = await _begin(hub, request, ledger)
        return await first_audio(speech, until)


async def _begin(hub: Hub, request: ConversionRequest, ledger: Ledger) -> tuple[Speech, float]:
    model = hub.models.able(request.model, CAPABILITY[0])
    ledger.model, ledger.backend = model.name, model.spec.name
    until = ledger.arrived + model.settings.deadline
    check_format(request.format, hub.encoders)
    check_options(SpeechRequest(options=request.options), model.spec)
    if request.references and request.voice is not None:
        raise InvalidRequest("give either `voice` or `references`, not both")
    if model.engine.loaded is not None:
        await check_voices(hub, model, _converting(model.engine.loaded), _target(request, model, model.engine.loaded))
    longest = hub.settings.limits.reference_seconds
    audio = await decode_recording(request.audio, longest)
    request = replace(request, audio=audio, references=await decode_references(request.references, longest))
    slot = await model.lane.enter(until)
    try:
        loaded = await model.start(until)
        target = _target(request, model, loaded)
        ledger.work_began()
        resolved = await in_time(resolve(hub, model, _converting(loaded), target), model, until)
        ledger.voice = speaking_voice(target, model)
        stream = model.engine.convert(_resolved(request, model, resolved), ledger.request_id)
    except BaseException:
        slot.leave()
        raise

    def through() -> None:
        slot.leave()
        ledger.work_ended()

    stream.on_end = through
    return Speech(ledger, stream), until


def _target(request: ConversionRequest, model: Model, loaded: Loaded) -> ResolvedRequest:
    """Who shall have said it, as a request to speak: voices are looked up in one way only.

    Raises UnsupportedCapability, InvalidRequest.
    """
    check_able(model.name, loaded.capabilities, *CAPABILITY)
    if not request.references and not request.voice and not model.default_voice:
        raise InvalidRequest(f"model {model.name!r} has no voice of its own: give `voice` or `references`")
    target = ResolvedRequest(voice=request.voice, references=request.references, speed=request.speed, seed=request.seed)
    check_capabilities(target, model.name, _converting(loaded).capabilities)
    return target


def _converting(loaded: Loaded) -> Loaded:
    """A model that converts sounds like any recording, whatever it wants of one to speak like it."""
    return replace(
        loaded, capabilities=replace(loaded.capabilities, cloning=True, needs_transcript=False, languages=())
    )


def _resolved(request: ConversionRequest, model: Model, target: ResolvedRequest) -> ResolvedConversion:
    return ResolvedConversion(
        audio=request.audio,
        model=model.name,
        voice=target.voice,
        references=target.references,
        prepared=target.prepared,
        speed=request.speed,
        seed=request.seed,
        format=request.format,
        stream=request.stream,
        options=request.options,
    )
