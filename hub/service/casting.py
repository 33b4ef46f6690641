"""Casting: which voice each speaker of a dialogue gets who has none."""

from __future__ import annotations

from msgspec.structs import replace

from hub.contract.errors import InvalidRequest
from hub.contract.speech import ResolvedRequest
from hub.engine.base import Loaded
from hub.service.resolve import speakers


def with_cast(request: ResolvedRequest, model: str, loaded: Loaded, default: str) -> ResolvedRequest:
    """The request with a voice for each speaker who has none from a turn or from the scene's cast.

    The first of them gets the request's own voice or references, the others a preset each that nobody else has, in the
    order of the presets; without a voice of the request's own all of them do, the default preset first. A model that
    speaks dialogues and has no presets chooses itself. Raises InvalidRequest if there are not enough presets.
    """
    if not request.turns:
        return request
    turns, wanted = speakers(request)
    without = [tag for tag, voice in wanted.items() if voice is None]
    presets = [voice.id for voice in loaded.voices]
    if len(wanted) == 1 or not without or (loaded.capabilities.dialogue and not presets):
        return request
    if request.voice is not None or request.references:
        del without[0]  # speaks as the request says
    taken = {*wanted.values(), request.voice}
    free = [voice for voice in sorted(presets, key=lambda voice: voice != default) if voice not in taken]
    if len(without) > len(free):
        names = ", ".join(repr(tag[:50]) for tag in without[len(free) :][:5])
        raise InvalidRequest(
            f"model {model!r} has no preset left for {names}: give each speaker a `voice` in a turn, or a scene "
            "whose cast has one",
            speakers=without[len(free) :][:100],
        )
    given = dict(zip(without, free, strict=False))
    return replace(
        request, turns=tuple(replace(turn, voice=turn.voice or given.get(turn.speaker or "")) for turn in turns)
    )
