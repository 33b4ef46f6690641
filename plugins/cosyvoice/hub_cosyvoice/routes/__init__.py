"""CosyVoice's own HTTP API: five endpoints, each for GET and POST, mapped to the hub's speech."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from hub.api.family import options_of
from hub.api.mount import shaped
from hub.plugin.host import Host
from hub_cosyvoice.capabilities import BACKEND
from hub_cosyvoice.options import CompatOptions
from hub_cosyvoice.routes import inference
from hub_cosyvoice.routes.answers import Answers


def make_routes(hub: Host) -> list[ControllerRouterHandler]:
    """The handlers, with the options of `[compat.cosyvoice.options]`."""
    options = options_of(hub, BACKEND, CompatOptions)
    answers = Answers(cors=options.cors and not hub.settings.cors.origins)
    return list(shaped(inference.routes(hub, options, answers), answers.error))
