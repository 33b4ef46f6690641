"""The voices that a Cast names: are they there, do they fit, and what does a synthesizer get for them?

A preset of the model is always taken before a stored voice of the same id, which the library therefore does not let
anybody create; an id that is neither is an error, never another voice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from hub.audio.pcm import wav_facts
from hub.contract.errors import UnknownVoice, UnsupportedCapability, few
from hub.contract.speech import CastVoice, Reference, ResolvedRequest, VoicePart
from hub.contract.voice import Recording, StoredVoice
from hub.service.library.preparing import Preparing
from hub.service.library.voice_fit import speaks, unfitness
from hub.service.library.voices import VoiceLibrary
from hub.service.models.model import Model, default_preset
from hub.service.speech.cast import Cast


async def check_voices(library: VoiceLibrary, cast: Cast) -> None:
    """Every voice of the cast is there and fits the model; raises UnknownVoice, UnsupportedCapability.

    The request's own recordings, which have been decoded, are measured too.
    """
    request = cast.request
    if request.references and cast.can.cloning:
        recordings = [_measured(f"reference {number}", one) for number, one in enumerate(request.references, 1)]
        _check_fit(recordings, request.references[0].language, cast)
    for id in cast.stored:
        voice = await asyncio.to_thread(_stored, library, cast, id)
        _check_fit(voice.recordings, voice.language, cast, voice=id)


async def resolve(preparing: Preparing, model: Model, cast: Cast) -> ResolvedRequest:
    """The request as `Synthesizer.speak` gets it. Its voices have been checked, and its own references decoded.

    Raises UnknownVoice for a voice that went meanwhile, or what `make_voice` raises.
    """
    request = cast.request
    known = {id: await _voice(preparing, model, cast, id) for id in cast.parts}
    own = known[request.voice] if request.voice is not None else CastVoice(references=request.references)
    if cast.speakers is None:
        voice = own.voice or (None if own.references or own.prepared else default_preset(cast.loaded) or None)
        named = {tag: known[entry.voice] for tag, entry in request.cast.items() if entry.voice in known}
        return replace(request, voice=voice, references=own.references, prepared=own.prepared, cast=named)
    speaking = {tag: own if id is None else known[id] for tag, id in cast.speakers.voices.items()}
    return replace(request, turns=cast.speakers.turns, cast=speaking, voice=None, references=(), prepared=None)


async def _voice(preparing: Preparing, model: Model, cast: Cast, id: str) -> CastVoice:
    parts = cast.parts[id]
    if len(parts) == 1:
        return await _one_voice(preparing, model, cast, id)
    mixed = [VoicePart(voice=await _one_voice(preparing, model, cast, part), weight=weight) for part, weight in parts]
    return CastVoice(prepared=await preparing.mixed(model, mixed))


async def _one_voice(preparing: Preparing, model: Model, cast: Cast, id: str) -> CastVoice:
    return CastVoice(voice=id) if cast.is_preset(id) else await preparing.voice(model, id)


def _stored(library: VoiceLibrary, cast: Cast, id: str) -> StoredVoice:
    """The stored voice. Raises UnknownVoice, naming those that the model could have spoken as."""
    if library.has(id):
        return library.get(id)
    usable = [
        voice.id
        for voice in (library.list() if cast.can.cloning else ())
        if library.fit(voice, cast.model, cast.can).usable
    ]
    known = [voice.id for voice in cast.loaded.voices] + usable
    raise UnknownVoice(
        f"model {cast.model!r} has no voice {id[:100]!r}; it has: {few(known)}", model=cast.model, voices=known[:100]
    )


def _measured(name: str, reference: Reference) -> Recording:
    """A decoded recording, as far as its header tells."""
    facts = wav_facts(reference.audio)
    return Recording(file=name, text=reference.text, seconds=facts.seconds, sample_rate=facts.sample_rate)


def _check_fit(recordings: Iterable[Recording], language: str | None, cast: Cast, **detail: Any) -> None:
    spoken = cast.request.language
    reason = unfitness(tuple(recordings), language, cast.model, cast.can)
    if not reason and language and spoken and not cast.can.cross_lingual and not speaks(spoken, (language,)):
        reason = f"model {cast.model!r} cannot speak {spoken} with a voice that speaks {language}"
    if reason:
        raise UnsupportedCapability(
            f"{reason}; choose another voice or another model", model=cast.model, capability="cloning", **detail
        )
