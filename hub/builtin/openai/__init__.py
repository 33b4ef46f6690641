"""OpenAI's speech API, as a plugin of the hub's own: speech, models, custom voices and consents.

Its routes are at OpenAI's paths only, and whatever goes wrong below those paths is reported in OpenAI's shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.plugin.spec import hookimpl

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

    from hub.plugin.host import Host

PATHS = ("/v1/audio/", "/v1/models")


@hookimpl
def register_routes(hub: Host) -> list[ControllerRouterHandler]:
    """The dialect's routes."""
    from hub.api.mount import ROOT, mounted_at, shaped
    from hub.builtin.openai import models, speech, voices
    from hub.builtin.openai.shapes import OpenAIError, error_response

    handlers = [*speech.routes(hub), *models.routes(hub), *voices.routes(hub)]
    return [*mounted_at(shaped(handlers, error_response, body=OpenAIError, below=PATHS), ROOT)]
