"""GPT-SoVITS' own HTTP API: both dialects, subtitles, weights and speakers, mapped to the hub's speech."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.types import ControllerRouterHandler

from hub.api.family import options_of
from hub.api.mount import shaped
from hub_gpt_sovits.routes import speakers, speech, subtitles, weights
from hub_gpt_sovits.routes.answers import error_response
from hub_gpt_sovits.routes.state import State
from hub_gpt_sovits.settings import BACKEND, CompatOptions

if TYPE_CHECKING:
    from hub.service.hub import Hub


def make_routes(hub: Hub) -> list[ControllerRouterHandler]:
    """The handlers, as `[compat.gpt_sovits.options]` wants them."""
    state = State(hub, options_of(hub, BACKEND, CompatOptions))
    rooms = (speech, subtitles, weights, speakers)
    return list(shaped([handler for room in rooms for handler in room.routes(state)], error_response))
