"""Plugins' own routes: under /compat/<plugin>/ always, and at their original paths where the hub has none there."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Any

from litestar import Litestar, Router
from litestar.routes import HTTPRoute, WebSocketRoute
from litestar.types import ControllerRouterHandler

from hub.plugin.manager import PluginFailure, Plugins

log = logging.getLogger("hub.api")

Place = tuple[str, str]
"""(method, path with its parameters' names left out): what only one handler can answer."""


def mount(hub: Any, plugins: Plugins, own: Sequence[ControllerRouterHandler]) -> list[Router]:
    """Routers for the routes of all plugins, beside the hub's `own`.

    A route that cannot stand, or not at its original path, is reported in `plugins.failures`; the others do.
    """
    taken = places(own)
    routers: list[Router] = []
    for plugin, handlers in plugins.routes(hub):
        sound = [handler for handler in handlers if _stands(plugins, plugin, handler)]
        original: list[ControllerRouterHandler] = []
        for handler in sound:
            wanted = places([handler])
            if clashes := sorted(wanted & taken):
                _report(plugins, plugin, f"{_words(clashes)} is taken already; see /compat/{plugin}")
            else:
                taken |= wanted
                original.append(handler)
        routers.append(Router(f"/compat/{plugin}", route_handlers=sound, tags=[plugin]))
        routers.append(Router("/", route_handlers=original, include_in_schema=False))
    return routers


def places(handlers: Iterable[ControllerRouterHandler]) -> set[Place]:
    """Which places `handlers` answer at."""
    found: set[Place] = set()
    for route in Router("/", route_handlers=list(handlers)).routes:
        path = re.sub(r"\{[^}]*\}", "{}", route.path)
        if isinstance(route, HTTPRoute):
            found |= {(method, path) for handler in route.route_handlers for method in handler.http_methods}
        else:
            found.add(("WEBSOCKET" if isinstance(route, WebSocketRoute) else "ASGI", path))
    return {place for place in found if place[0] != "OPTIONS"}


def _stands(plugins: Plugins, plugin: str, handler: ControllerRouterHandler) -> bool:
    """Whether Litestar can build this handler; what is wrong with it must not keep the hub from starting."""
    try:
        Litestar(route_handlers=[Router("/", route_handlers=[handler])], openapi_config=None, logging_config=None)
    except Exception as error:
        _report(plugins, plugin, f"register_routes: {type(error).__name__}: {error}")
        return False
    return True


def _report(plugins: Plugins, plugin: str, problem: str) -> None:
    log.warning("plugin %s: %s", plugin, problem)
    distribution = next((info.distribution for info in plugins.installed if info.name == plugin), "")
    plugins.failures.append(PluginFailure(plugin=plugin, distribution=distribution, error=problem))


def _words(clashes: Iterable[Place]) -> str:
    return ", ".join(f"{method} {path}" for method, path in clashes)
