"""OpenAI's speech API, as a built-in plugin: speech, models, custom voices and consents.

Its routes are only at OpenAI's paths, and all errors below those paths are reported in OpenAI's shape.
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
    """Register the routes of the dialect."""
    from hub.api.mount import ROOT, mounted_at, shaped
    from hub.builtin.openai import models, speech, voices
    from hub.builtin.openai.shapes import OpenAIError, error_response

    handlers = [*speech.routes(hub), *models.routes(hub), *voices.routes(hub)]
    return [*mounted_at(shaped(handlers, error_response, body=OpenAIError, below=PATHS), ROOT)]
