"""ElevenLabs' speech API, as a plugin of the hub's own, so that its clients work unchanged.

With `base_url` `http://HUB/compat/elevenlabs` a client has all of it. The speech routes are also at their own paths;
the lists are not, where the hub's own voices and OpenAI's models are. What differs, and why:

- `eleven_...` and no `model_id` at all are the default model, or the first that has the voice. An unknown voice is a
  404, never another voice.
- `stability`, `similarity_boost`, `style`, `use_speaker_boost`, `clone_strength`, `use_pvc_as_ivc`, the texts and the
  requests before and after, `enable_logging` and `optimize_streaming_latency` tune what only ElevenLabs has: they are
  read and change nothing. What would change the words or the sound is refused (`unsupported_capability`).
- Times of characters are exact where the model marks its words, else spread over exact spans; nothing is known of a
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
    """The speech routes at ElevenLabs' paths, where they are documented; all routes below /compat/elevenlabs."""
    from hub.api.mount import PREFIX, ROOT, mounted_at, shaped
    from hub.builtin.elevenlabs.lists import list_routes
    from hub.builtin.elevenlabs.shapes import ElevenLabsError, error_response
    from hub.builtin.elevenlabs.speech import speech_routes

    speech, below = speech_routes(hub), [*speech_routes(hub), *list_routes(hub)]
    for handler in below:
        handler.include_in_schema = False
    mounted = [*mounted_at(speech, ROOT), *mounted_at(below, PREFIX)]
    return [*shaped(mounted, error_response, body=ElevenLabsError, below=PATHS)]
