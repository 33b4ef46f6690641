"""resolve(): what a request names (a scene, voices, speakers) becomes what those names stand for.

`with_scene` comes first, since a scene may set anything that the checks look at; `resolve` comes last, since only the
loaded model knows its presets. A preset of the model is always taken before a stored voice of the same id, which the
library therefore does not let anybody create; an id that is neither is an error, never another voice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from hub.contract.backend import Capabilities
from hub.contract.errors import InvalidRequest, UnknownVoice, UnsupportedCapability
from hub.contract.scene import Scene
from hub.contract.speech import CastVoice, Reference, ResolvedRequest, SpeechRequest, Turn, VoicePart
from hub.contract.voice import Recording, StoredVoice
from hub.engine.base import Loaded
from hub.service.mixture import parts_of
from hub.service.models import Model
from hub.service.voice_fit import speaks, unfitness

if TYPE_CHECKING:
    from hub.service.hub import Hub

NOT_BY_DEFAULT = {"text", "turns", "references", "scene", "stream", "format"}
"""What a scene cannot say for a request."""


def with_scene(request: SpeechRequest, scene: Scene | None) -> ResolvedRequest:
    """The request with what its scene says: defaults where it says nothing, the description, the cast by its ids.

    Raises InvalidRequest if the scene's defaults are none that a request can have.
    """
    given: dict[str, Any] = {name: getattr(request, name) for name in SpeechRequest.__struct_fields__}
    if scene is None:
        return ResolvedRequest(**given)
    allowed = {name: value for name, value in scene.defaults.items() if name not in NOT_BY_DEFAULT}
    try:
        defaults = msgspec.convert(allowed, SpeechRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the defaults of scene {scene.id[:100]!r}: {error}") from None
    nothing = SpeechRequest()
    for name in allowed:
        if name == "voice" and request.references:
            continue
        if name in ("options", "pronunciations"):
            given[name] = {**getattr(defaults, name), **given[name]}
        elif given[name] == getattr(nothing, name):
            given[name] = getattr(defaults, name)
    cast = {tag: CastVoice(voice=voice) for tag, voice in scene.cast.items()}
    return ResolvedRequest(**given, scene_text=scene.text or None, cast=cast)


def speaking_voice(request: SpeechRequest, model: Model) -> str:
    """The id of the one voice that will speak: the one asked for, else the default preset; "" for references, turns."""
    if request.references or request.turns:
        return ""
    return request.voice or model.default_voice


async def check_voices(hub: Hub, model: Model, loaded: Loaded, request: ResolvedRequest) -> None:
    """Every voice that the request names is there and fits the model; raises UnknownVoice, UnsupportedCapability."""
    named = _named(request, loaded.capabilities)
    for id in {part: None for name in named for part, _ in _parts(name, model, loaded)}:
        if not _is_preset(id, loaded):
            voice = await asyncio.to_thread(_stored, hub, model, loaded, id)
            _check_fit(voice.recordings, voice.language, model, loaded.capabilities, request.language, voice=id)


async def resolve(hub: Hub, model: Model, loaded: Loaded, request: ResolvedRequest) -> ResolvedRequest:
    """The request as `Synthesizer.speak` gets it. Its own references have been decoded.

    Raises UnknownVoice, UnsupportedCapability, InvalidRequest, or what `make_voice` raises.
    """
    await check_voices(hub, model, loaded, request)
    _check_references(model, loaded.capabilities, request)
    known: dict[str, CastVoice] = {}
    for id in _named(request, loaded.capabilities):
        known[id] = await _voice(hub, model, loaded, id)
    own = known[request.voice] if request.voice is not None else CastVoice(references=request.references)
    if not request.turns:
        voice = own.voice or (None if own.references or own.prepared else model.default_voice or None)
        cast = {tag: known[entry.voice] for tag, entry in request.cast.items() if entry.voice in known}
        return replace(request, voice=voice, references=own.references, prepared=own.prepared, cast=cast)
    turns, wanted = speakers(request)
    cast = {tag: own if id is None else known[id] for tag, id in wanted.items()}
    return replace(request, turns=turns, cast=cast, voice=None, references=(), prepared=None)


def _named(request: ResolvedRequest, can: Capabilities) -> list[str]:
    """The ids of all voices that will be needed, each once."""
    named = [request.voice]
    if request.turns:
        named += speakers(request)[1].values()
    elif can.dialogue:  # the text itself may hold speaker tags
        named += [entry.voice for entry in request.cast.values()]
    return list(dict.fromkeys(id for id in named if id is not None))


def speakers(request: ResolvedRequest) -> tuple[tuple[Turn, ...], dict[str, str | None]]:
    """The turns, each with a speaker, and each speaker's voice id: of a turn, else of the scene's cast, else None.

    Turns that name nobody are one speaker for each voice. Raises InvalidRequest if a speaker has two voices.
    """
    tags = {turn.speaker for turn in request.turns}
    unnamed: dict[str | None, str] = {}
    turns: list[Turn] = []
    wanted: dict[str, str | None] = {}
    for turn in request.turns:
        speaker = turn.speaker
        if speaker is None:
            if turn.voice not in unnamed:
                unnamed[turn.voice] = _free_tag(tags)
            speaker = unnamed[turn.voice]
        turns.append(replace(turn, speaker=speaker))
        if turn.voice is not None and wanted.get(speaker) not in (None, turn.voice):
            raise InvalidRequest(f"speaker {speaker[:100]!r} has two voices; turns with one tag share one voice")
        wanted[speaker] = turn.voice or wanted.get(speaker)
    for speaker, voice in wanted.items():
        if voice is None and speaker in request.cast:
            wanted[speaker] = request.cast[speaker].voice
    return tuple(turns), wanted


def _free_tag(tags: set[str | None]) -> str:
    number = 1
    while str(number) in tags:
        number += 1
    tags.add(str(number))
    return str(number)


async def _voice(hub: Hub, model: Model, loaded: Loaded, id: str) -> CastVoice:
    if _is_preset(id, loaded):
        return CastVoice(voice=id)
    if len(parts := _parts(id, model, loaded)) > 1:
        mixed = [VoicePart(voice=await _voice(hub, model, loaded, part), weight=weight) for part, weight in parts]
        return CastVoice(prepared=await hub.voices.mixed(model, mixed))
    opened = await asyncio.to_thread(hub.voices.open, id)
    return CastVoice(references=opened.references, prepared=await hub.voices.state(model, opened))


def _parts(id: str, model: Model, loaded: Loaded) -> tuple[tuple[str, float], ...]:
    """The voices that `id` names, with their weights: one, unless it is a mixture."""
    return ((id, 1.0),) if _is_preset(id, loaded) else parts_of(id, model.name, loaded.capabilities)


def _stored(hub: Hub, model: Model, loaded: Loaded, id: str) -> StoredVoice:
    """The stored voice. Raises UnknownVoice, naming those that the model could have spoken as."""
    if hub.voices.has(id):
        return hub.voices.get(id)
    presets = [voice.id for voice in loaded.voices]
    stored = [
        voice.id
        for voice in (hub.voices.list() if loaded.capabilities.cloning else ())
        if hub.voices.fit(voice, model.name, loaded.capabilities).usable
    ]
    known = presets + stored
    raise UnknownVoice(
        f"model {model.name!r} has no voice {id[:100]!r}; it has: {_few(known)}", model=model.name, voices=known[:100]
    )


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 30} more" if len(names) > 30 else ""
    return (", ".join(names[:30]) or "none") + more


def _is_preset(id: str, loaded: Loaded) -> bool:
    return any(voice.id == id for voice in loaded.voices)


def _check_references(model: Model, can: Capabilities, request: SpeechRequest) -> None:
    """The request's own recordings fit the model. Their length is in their WAV header."""
    if request.references and can.cloning:
        numbered = enumerate(request.references, 1)
        recordings = [_measured(f"reference {number}", reference) for number, reference in numbered]
        _check_fit(recordings, request.references[0].language, model, can, request.language)


def _measured(name: str, reference: Reference) -> Recording:
    """What the header of a decoded recording (`to_wav_f32`) tells."""
    head = reference.audio[:128]
    rate = int.from_bytes(head[24:28], "little")
    size = int.from_bytes(head.partition(b"data")[2][:4], "little")
    return Recording(file=name, text=reference.text, seconds=size / 4 / rate, sample_rate=rate)


def _check_fit(
    recordings: Iterable[Recording],
    language: str | None,
    model: Model,
    can: Capabilities,
    spoken: str | None,
    **detail: Any,
) -> None:
    reason = unfitness(tuple(recordings), language, model.name, can)
    if not reason and language and spoken and not can.cross_lingual and not speaks(spoken, (language,)):
        reason = f"model {model.name!r} cannot speak {spoken} with a voice that speaks {language}"
    if reason:
        raise UnsupportedCapability(
            f"{reason}; choose another voice or another model", model=model.name, capability="cloning", **detail
        )
