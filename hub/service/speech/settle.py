"""settle(): a request with everything that its scene says for it."""

from __future__ import annotations

from typing import Any

import msgspec

from hub.contract.errors import InvalidRequest
from hub.contract.scene import NOT_BY_DEFAULT, Scene
from hub.contract.speech import CastVoice, ResolvedRequest, SpeechRequest

JOINED = ("options", "pronunciations")
"""Fields of which a scene's entries and the request's own hold together."""


def settle(request: SpeechRequest, scene: Scene | None) -> ResolvedRequest:
    """The request with its scene: defaults where it says nothing, the description, the cast by its ids.

    Raises InvalidRequest if the scene's defaults are not what a request can have.
    """
    resolved = ResolvedRequest.of(request)
    if scene is None:
        return resolved
    allowed = {name: value for name, value in scene.defaults.items() if name not in NOT_BY_DEFAULT}
    try:
        defaults = msgspec.convert(allowed, SpeechRequest)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the defaults of scene {scene.id[:100]!r}: {error}") from None
    given: dict[str, Any] = {
        "scene_text": scene.text or None,
        "cast": {tag: CastVoice(voice=voice) for tag, voice in scene.cast.items()},
    }
    nothing = SpeechRequest()
    for name in allowed:
        said = getattr(request, name)
        if name == "voice" and request.references:
            continue
        if name in JOINED:
            given[name] = {**getattr(defaults, name), **said}
        elif said == getattr(nothing, name):
            given[name] = getattr(defaults, name)
    return msgspec.structs.replace(resolved, **given)
