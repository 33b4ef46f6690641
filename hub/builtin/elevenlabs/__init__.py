"""ElevenLabs' speech API, as a built-in plugin, so that its clients work unchanged.

A client with `base_url` `http://HUB/compat/elevenlabs` has all of it. The speech routes are also at their original
paths; the lists are not, because the hub's voices and OpenAI's models are there. What differs, and why:

- `eleven_...`, or no `model_id`, is the default model, or else the first that has the voice. An unknown voice is a 404,
  never another voice.
- `stability`, `similarity_boost`, `style`, `use_speaker_boost`, `clone_strength`, `use_pvc_as_ivc`, the previous and
  next texts and requests, `enable_logging` and `optimize_streaming_latency` tune what only ElevenLabs has: they are
  accepted and change nothing. A field that would change the words or the sound is refused (`unsupported_capability`).
- Times of characters are exact if the model marks its words, else spread over exact spans. The hub does not see a
  normalized text, so `normalized_alignment` is null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.plugin.spec import hookimpl

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from hub.plugin.host import Host

PATHS = ("/v1/text-to-speech",)


@hookimpl
def register_routes(hub: Host) -> list[ControllerRouterHandler]:
    """Register the speech routes at ElevenLabs' paths, where they are documented, and all routes below /compat."""
    from hub.api.mount import PREFIX, ROOT, mounted_at, shaped
    from hub.builtin.elevenlabs.lists import list_routes
    from hub.builtin.elevenlabs.shapes import ElevenLabsError, error_response
    from hub.builtin.elevenlabs.speech import speech_routes

    speech, below = speech_routes(hub), [*speech_routes(hub), *list_routes(hub)]
    for handler in below:
        handler.include_in_schema = False
    mounted = [*mounted_at(speech, ROOT), *mounted_at(below, PREFIX)]
    return [*shaped(mounted, error_response, body=ElevenLabsError, below=PATHS)]
