"""convert(): say a recording again with another voice."""

from __future__ import annotations

from msgspec.structs import replace

from hub.audio.encode import check_format
from hub.contract.backend import Loaded
from hub.contract.conversion import ConversionRequest, ResolvedConversion
from hub.contract.errors import InvalidRequest
from hub.contract.speech import ResolvedRequest
from hub.service.models.ledger import Ledger
from hub.service.models.model import Model, default_preset
from hub.service.speech.answer import Speech, first_audio
from hub.service.speech.cast import Cast
from hub.service.speech.checks import check_able, check_one_voice, check_options
from hub.service.speech.desk import Desk
from hub.service.speech.resolve import resolve
from hub.service.speech.speak import deadline_of, in_time
from hub.service.speech.vet import checked_cast, decode_recording, decode_references

CAPABILITY = "conversion", "say recordings again as another voice"


async def convert(desk: Desk, request: ConversionRequest, *, request_id: str) -> Speech:
    """Say a recording again; return with the first audio. The order is that of `speak`. Raises HubError."""
    with desk.ledger(request_id).reported() as ledger:
        model = desk.models.able(request.model, CAPABILITY[0])
        speech = await _begin(desk, request, model, ledger)
        return await first_audio(speech, deadline_of(model, ledger))


async def _begin(desk: Desk, request: ConversionRequest, model: Model, ledger: Ledger) -> Speech:
    ledger.about(model.name, model.spec.name)
    until = deadline_of(model, ledger)
    check_format(request.format, desk.encoders)
    check_options(request.options, model.spec)
    check_one_voice(request.voice, request.references)
    longest = desk.limits.reference_seconds
    audio = await decode_recording(request.audio, longest)
    request = replace(request, audio=audio, references=await decode_references(request.references, longest))
    known = await _target(desk, request, model, model.loaded) if model.loaded is not None else None
    async with model.visit(ledger, until) as visit:
        if known is None or known[0] is not visit.loaded:
            known = await _target(desk, request, model, visit.loaded)
        _, target = known
        resolved = await in_time(resolve(desk.preparing, model, target), model, until)
        ledger.voice = target.speaking_voice
        stream = model.engine.convert(_resolved(request, model, resolved), ledger.request_id)
        stream.when_ended(visit.outlast())
    return Speech(ledger, stream)


async def _target(desk: Desk, request: ConversionRequest, model: Model, loaded: Loaded) -> tuple[Loaded, Cast]:
    """Return the target voice as the cast of a request to speak, so that voices are looked up in one way only.

    For conversion, the model's requirements for recordings (cloning, transcript, language) do not apply. Raises
    UnsupportedCapability, InvalidRequest, UnknownVoice.
    """
    check_able(model.name, loaded.capabilities, *CAPABILITY)
    if not request.references and not request.voice and not default_preset(loaded):
        raise InvalidRequest(f"model {model.name!r} has no voice of its own: give `voice` or `references`")
    target = ResolvedRequest(voice=request.voice, references=request.references, speed=request.speed, seed=request.seed)
    can = replace(loaded.capabilities, cloning=True, needs_transcript=False, languages=())
    return loaded, await checked_cast(desk, target, model.name, replace(loaded, capabilities=can))


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
