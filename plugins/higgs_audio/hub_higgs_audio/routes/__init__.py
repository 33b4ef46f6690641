"""The HTTP API that users of Higgs Audio servers know, mapped to the hub's speech."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.types import ControllerRouterHandler

from hub.api.family import options_of
from hub.api.mount import shaped
from hub_higgs_audio.routes import chat, generate, lists
from hub_higgs_audio.routes.answers import error_response
from hub_higgs_audio.routes.voices import Voices
from hub_higgs_audio.settings import BACKEND, CompatOptions

if TYPE_CHECKING:
    from hub.service.hub import Hub


def make_routes(hub: Hub) -> list[ControllerRouterHandler]:
    """The handlers, as `[compat.higgs_audio.options]` wants them."""
    options = options_of(hub, BACKEND, CompatOptions)
    voices = Voices(hub, options.voice_prompts)
    own = shaped([*lists.routes(hub, options, voices), *generate.routes(hub, options, voices)], error_response)
    return [*own, *chat.routes(hub, options)]
