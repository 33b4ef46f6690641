"""The HTTP API that users of Higgs Audio servers know, mapped to the hub's speech."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.types import ControllerRouterHandler

from hub.api.family import options_of
from hub.api.mount import shaped
from hub_higgs_audio.capabilities import BACKEND
from hub_higgs_audio.options import CompatOptions
from hub_higgs_audio.routes import chat, generate, lists
from hub_higgs_audio.routes.answers import error_response
from hub_higgs_audio.routes.voices import NamedVoices

if TYPE_CHECKING:
    from hub.plugin.host import Host


def make_routes(hub: Host) -> list[ControllerRouterHandler]:
    """The handlers, as `[compat.higgs_audio.options]` configures them."""
    options = options_of(hub, BACKEND, CompatOptions)
    voices = NamedVoices(hub, options.voice_prompts)
    own = shaped([*lists.routes(hub, options, voices), *generate.routes(hub, options, voices)], error_response)
    return [*own, *chat.routes(hub, options)]
