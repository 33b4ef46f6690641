"""GPT-SoVITS' own HTTP API: both dialects, subtitles, weights and speakers, on top of the hub's speech."""

from __future__ import annotations

from litestar.types import ControllerRouterHandler

from hub.api.family import options_of
from hub.api.mount import shaped
from hub.plugin.host import Host
from hub_gpt_sovits.capabilities import BACKEND
from hub_gpt_sovits.options import CompatOptions
from hub_gpt_sovits.routes import speakers, speech, subtitles, weights
from hub_gpt_sovits.routes.answers import error_response
from hub_gpt_sovits.routes.state import State


def make_routes(hub: Host) -> list[ControllerRouterHandler]:
    """The handlers, as `[compat.gpt_sovits.options]` configures them."""
    state = State(hub, options_of(hub, BACKEND, CompatOptions))
    parts = (speech, subtitles, weights, speakers)
    return list(shaped([handler for part in parts for handler in part.routes(state)], error_response))
