"""settle(): join a request with its scene."""

from __future__ import annotations

from typing import Any

import msgspec

from hub.contract.errors import InvalidRequest
from hub.contract.scene import NOT_BY_DEFAULT, Scene
from hub.contract.speech import CastVoice, ResolvedRequest, SpeechRequest

JOINED = ("options", "pronunciations")
"""Fields whose entries in the scene and in the request are merged."""


def settle(request: SpeechRequest, scene: Scene | None) -> ResolvedRequest:
    """Fill in the scene's defaults where the request has none, the scene's description, and the cast by voice ids.

    Raises InvalidRequest if the scene's defaults are invalid fields of a request.
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
