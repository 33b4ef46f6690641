"""cast(): find the voices of a request with a loaded model. A Cast holds the result and is made once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from msgspec.structs import replace

from hub.contract.backend import Capabilities, Loaded
from hub.contract.errors import InvalidRequest
from hub.contract.speech import ResolvedRequest, Turn
from hub.service.models.model import default_preset
from hub.service.speech.checks import check_capabilities, check_phonemes
from hub.service.speech.mixture import parts_of
from hub.text.pronunciations import NONE, Pronunciations


class Speakers(NamedTuple):
    """The turns of a dialogue, each with a speaker, and each speaker's voice id; None: the request's own voice."""

    turns: tuple[Turn, ...]
    voices: Mapping[str, str | None]


@dataclass(frozen=True)
class Cast:
    """The voices of `request` with `model`, as it is `loaded` now. `speakers` is None if the request has no turns.

    `parts` maps each voice id to its voices and weights: one voice, unless the id names a mixture.
    """

    model: str
    loaded: Loaded
    request: ResolvedRequest
    speakers: Speakers | None
    parts: Mapping[str, tuple[tuple[str, float], ...]]

    @property
    def can(self) -> Capabilities:
        """The capabilities of the model."""
        return self.loaded.capabilities

    @property
    def speaking_voice(self) -> str:
        """The id of the one voice that will speak; "" for references and dialogues."""
        if self.request.references or self.request.turns:
            return ""
        return self.request.voice or default_preset(self.loaded)

    def is_preset(self, id: str) -> bool:
        """Return True if the model has a preset of this id, which takes precedence over a stored voice."""
        return is_preset(id, self.loaded)

    @property
    def stored(self) -> Iterator[str]:
        """The ids of all stored voices that the request needs, each once."""
        ids = dict.fromkeys(id for parts in self.parts.values() for id, _ in parts)
        return (id for id in ids if not self.is_preset(id))


def cast(request: ResolvedRequest, model: str, loaded: Loaded, words: Pronunciations = NONE) -> Cast:
    """Check that the model can do what a settled request asks for, and find the voice of each speaker.

    Each speaker without a voice gets one: the first of them the request's own voice or references, each of the others a
    preset that no other speaker has, in the order of the presets. If the request has no voice, all of them get a
    preset, the default one first. A model that speaks dialogues and has no presets chooses the voices itself.

    Raises UnsupportedCapability, and InvalidRequest for two voices of one speaker or too few presets.
    """
    can = loaded.capabilities
    check_capabilities(request, model, can)
    check_phonemes(words, model, can)
    speakers = None
    if request.turns:
        speakers = _with_presets(_speakers(request), request, model, loaded)
    named = _named(request, speakers, can)
    parts = {id: ((id, 1.0),) if is_preset(id, loaded) else parts_of(id, model, can) for id in named}
    return Cast(model, loaded, request, speakers, parts)


def is_preset(id: str, loaded: Loaded) -> bool:
    """Return True if the loaded model has a preset of this id."""
    return any(voice.id == id for voice in loaded.voices)


def _named(request: ResolvedRequest, speakers: Speakers | None, can: Capabilities) -> list[str]:
    """Return the ids of all voices that the request needs, each once."""
    named = [request.voice]
    if speakers is not None:
        named += speakers.voices.values()
    elif can.dialogue:  # the text itself may hold speaker tags
        named += [entry.voice for entry in request.cast.values()]
    return list(dict.fromkeys(id for id in named if id is not None))


def _speakers(request: ResolvedRequest) -> Speakers:
    """Return the speakers with the voices of their turns, else of the scene's cast.

    Turns without a speaker get one speaker for each voice. Raises InvalidRequest if a speaker has two voices.
    """
    tags = {turn.speaker for turn in request.turns}
    unnamed: dict[str | None, str] = {}
    turns: list[Turn] = []
    voices: dict[str, str | None] = {}
    for turn in request.turns:
        speaker = turn.speaker
        if speaker is None:
            if turn.voice not in unnamed:
                unnamed[turn.voice] = _free_tag(tags)
            speaker = unnamed[turn.voice]
        turns.append(replace(turn, speaker=speaker))
        if turn.voice is not None and voices.get(speaker) not in (None, turn.voice):
            raise InvalidRequest(f"speaker {speaker[:100]!r} has two voices; turns with one tag share one voice")
        voices[speaker] = turn.voice or voices.get(speaker)
    for speaker, voice in voices.items():
        if voice is None and speaker in request.cast:
            voices[speaker] = request.cast[speaker].voice
    return Speakers(tuple(turns), voices)


def _free_tag(tags: set[str | None]) -> str:
    number = 1
    while str(number) in tags:
        number += 1
    tags.add(str(number))
    return str(number)


def _with_presets(found: Speakers, request: ResolvedRequest, model: str, loaded: Loaded) -> Speakers:
    """Give a preset to each speaker without a voice, except the one who speaks with the request's own voice."""
    without = [tag for tag, voice in found.voices.items() if voice is None]
    presets = [voice.id for voice in loaded.voices]
    if len(found.voices) == 1 or not without or (loaded.capabilities.dialogue and not presets):
        return found
    if request.voice is not None or request.references:
        del without[0]  # speaks with the request's own voice
    default = default_preset(loaded)
    taken = {*found.voices.values(), request.voice}
    free = [voice for voice in sorted(presets, key=lambda voice: voice != default) if voice not in taken]
    _check_enough(without, free, model)
    given = dict(zip(without, free, strict=False))
    turns = tuple(replace(turn, voice=turn.voice or given.get(turn.speaker or "")) for turn in found.turns)
    return Speakers(turns, {**found.voices, **given})


def _check_enough(without: Sequence[str], free: Sequence[str], model: str) -> None:
    left = without[len(free) :]
    if left:
        names = ", ".join(repr(tag[:50]) for tag in left[:5])
        raise InvalidRequest(
            f"model {model!r} has no preset left for {names}: give each speaker a `voice` in a turn, or use a scene "
            "whose cast has one",
            speakers=list(left[:100]),
        )
