"""`/v1/health`. At the root of a hub the hub's own route answers, which has `status` too."""

from __future__ import annotations

from litestar import HttpMethod, Request, Response, route
from litestar.handlers import HTTPRouteHandler

from hub.api.mount import YIELDS
from hub_fish_speech.routes.answers import answer


def routes() -> list[HTTPRouteHandler]:
    """The handlers."""

    @route("/v1/health", http_method=[HttpMethod.GET, HttpMethod.POST], status_code=200, opt=YIELDS, summary="Alive?")
    async def health(request: Request) -> Response:
        """Answers as long as the server runs."""
        return answer(request, {"status": "ok"})

    return [health]
