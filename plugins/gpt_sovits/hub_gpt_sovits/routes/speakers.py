"""`/speakers` and `/speakers_list`: the speakers that a request may name."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from hub_gpt_sovits.routes.answers import answer
from hub_gpt_sovits.routes.state import State


def routes(state: State) -> list[HTTPRouteHandler]:
    """The handlers."""

    @get("/speakers", status_code=200, summary="List the speakers that a request may name, as objects")
    async def speakers(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Returns stored voices, and the recordings in the configured folders by the names of their files."""
        names = await asyncio.to_thread(state.recordings.ids)
        return answer(request, [{"name": name, "voice_id": name} for name in names])

    @get("/speakers_list", status_code=200, summary="List the speakers that a request may name")
    async def speakers_list(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Returns only names: for a recording, the part in brackets."""
        return answer(request, await asyncio.to_thread(state.recordings.names))

    return [speakers, speakers_list]
