"""Fish Speech's own HTTP API, mapped to the hub's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.types import ControllerRouterHandler

if TYPE_CHECKING:
    from hub.service.hub import Hub


def make_routes(hub: Hub) -> list[ControllerRouterHandler]:
    """The handlers."""
    return []
