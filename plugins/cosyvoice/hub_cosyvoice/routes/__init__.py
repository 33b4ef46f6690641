"""CosyVoice's own HTTP API: five endpoints, each for GET and POST, mapped to the hub's speech."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.types import ControllerRouterHandler

from hub.api.family import options_of
from hub.api.mount import shaped
from hub_cosyvoice.options import CompatOptions
from hub_cosyvoice.routes import inference
from hub_cosyvoice.routes.answers import Answers

if TYPE_CHECKING:
    from hub.service.hub import Hub


def make_routes(hub: Hub) -> list[ControllerRouterHandler]:
    """The handlers, as `[compat.cosyvoice.options]` wants them."""
    options = options_of(hub, "cosyvoice", CompatOptions)
    answers = Answers(cors=options.cors and not hub.settings.cors.origins)
    return list(shaped(inference.routes(hub, options, answers), answers.error))
