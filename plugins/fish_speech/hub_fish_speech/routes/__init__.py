"""Fish Speech's own HTTP API, mapped to the hub's: a file a group of routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.types import ControllerRouterHandler

from hub.api.family import options_of
from hub.api.mount import shaped
from hub_fish_speech.routes import codec, health, live, models, references, speech, tasks
from hub_fish_speech.routes.answers import error_response
from hub_fish_speech.settings import BACKEND, CompatOptions, RouteSettings

if TYPE_CHECKING:
    from hub.service.hub import Hub


def make_routes(hub: Hub, backend: str = BACKEND) -> list[ControllerRouterHandler]:
    """The handlers. Models of `backend` speak: this family's, unless a test wants another's."""
    options = options_of(hub, "fish_speech", CompatOptions)
    settings = RouteSettings(backend=backend, max_text_length=options.max_text_length)
    handlers = [
        *health.routes(),
        *speech.routes(hub, settings),
        *codec.routes(hub, settings),
        *references.routes(hub, settings),
        *tasks.routes(hub, settings),
        *models.routes(hub, settings),
        *live.routes(hub, settings),
    ]
    return list(shaped(handlers, error_response))
