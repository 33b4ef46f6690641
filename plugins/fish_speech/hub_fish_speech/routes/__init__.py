"""Fish Speech's own HTTP API, mapped to the hub's: one file for each group of routes."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from hub.api.family import options_of
from hub.api.mount import shaped
from hub.plugin.host import Host
from hub_fish_speech.capabilities import BACKEND
from hub_fish_speech.options import CompatOptions, RouteOptions
from hub_fish_speech.routes import codec, health, live, models, references, speech, tasks
from hub_fish_speech.routes.answers import error_response


def make_routes(hub: Host, backend: str = BACKEND) -> list[ControllerRouterHandler]:
    """The handlers. Models of `backend` speak: this family's, except in some tests."""
    compat = options_of(hub, "fish_speech", CompatOptions)
    options = RouteOptions(backend=backend, max_text_length=compat.max_text_length)
    handlers = [
        *health.routes(),
        *speech.routes(hub, options),
        *codec.routes(hub, options),
        *references.routes(hub, options),
        *tasks.routes(hub, options),
        *models.routes(hub, options),
        *live.routes(hub, options),
    ]
    return list(shaped(handlers, error_response))
