"""The voices of a Cast: their checks, and their form for a synthesizer.

A preset of the model takes precedence over a stored voice of the same id, so the library refuses to create such a
voice. An unknown id is an error; the hub never speaks with another voice instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from hub.audio.wav import wav_facts
from hub.contract.errors import UnknownVoice, UnsupportedCapability, few
from hub.contract.speech import CastVoice, Reference, ResolvedRequest, VoicePart
from hub.contract.voice import Recording, StoredVoice
from hub.service.library.preparing import Preparing
from hub.service.library.voice_fit import speaks, unfitness
from hub.service.library.voices import VoiceLibrary
from hub.service.models.model import Model, default_preset
from hub.service.speech.cast import Cast


async def check_voices(library: VoiceLibrary, cast: Cast) -> None:
    """Check that every voice of the cast exists and fits the model. Raises UnknownVoice, UnsupportedCapability.

    The request's own references, already decoded, are checked too.
    """
    request = cast.request
    if request.references and cast.can.cloning:
        recordings = [_measured(f"reference {number}", one) for number, one in enumerate(request.references, 1)]
        _check_fit(recordings, request.references[0].language, cast)
    for id in cast.stored:
        voice = await asyncio.to_thread(_stored, library, cast, id)
        _check_fit(voice.recordings, voice.language, cast, voice=id)


async def resolve(preparing: Preparing, model: Model, cast: Cast) -> ResolvedRequest:
    """Return the request as `Synthesizer.speak` gets it. Its voices are checked and its own references decoded.

    Raises UnknownVoice for a voice that was deleted meanwhile, or the errors of `make_voice`.
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
    """Return the stored voice. Raises UnknownVoice, with the voices that the model can use."""
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
    """Return the facts of a decoded recording, from its header."""
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
