"""Plugins' own routes: under /compat/<plugin>/ always, and at their original paths where these are free.

The original paths are for the families that this hub serves: a plugin that brings backends, none of which has a model
here, is only under /compat. Where two want the same path, the hub comes first, then the plugins by name; whoever comes
too late is told so in `Plugins.notes`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Sequence
from copy import copy
from typing import Any, TypeVar

from litestar import Litestar, Router
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import HTTPRoute, WebSocketRoute
from litestar.types import ControllerRouterHandler, ExceptionHandler

from hub.plugin.manager import Plugins

log = logging.getLogger("hub.api")

YIELDS = {"yields": True}
"""`opt` of a handler at whose original path the hub's own route does as well: that it is there is nothing to tell."""

Place = tuple[str, str]
"""(method, path with its parameters' names left out): what only one handler can answer."""


Handler = TypeVar("Handler", bound=BaseRouteHandler)

Routes = dict[str, list[ControllerRouterHandler]]
"""Plugin -> its handlers."""


def sound_routes(hub: Any, plugins: Plugins) -> Routes:
    """The routes that plugins register. One that cannot be built is reported in `plugins.failures`."""
    return {
        plugin: [handler for handler in handlers if _stands(plugins, plugin, handler)]
        for plugin, handlers in plugins.routes(hub)
    }


def mount(
    routes: Routes, plugins: Plugins, own: Sequence[ControllerRouterHandler], rootless: Collection[str] = ()
) -> list[ControllerRouterHandler]:
    """The `routes` of plugins, beside the hub's `own`. Those under /compat are documented, their twins are not.

    Plugins in `rootless` are only under /compat. A route whose original path is taken is noted in `plugins.notes`; the
    others stand.
    """
    taken = places(own)
    mounted: list[ControllerRouterHandler] = []
    for plugin, handlers in routes.items():
        mounted.append(Router(f"/compat/{plugin}", route_handlers=handlers, tags=[plugin]))
        for handler in handlers if plugin not in rootless else ():
            wanted = places([handler])
            if not isinstance(handler, Router):  # a handler joins others at its path; a router brings its own OPTIONS
                wanted = {place for place in wanted if place[0] != "OPTIONS"}
            if clashes := sorted(wanted & taken):
                if not getattr(handler, "opt", {}).get("yields"):
                    _note(plugins, plugin, f"{_words(clashes)} is taken already; see /compat/{plugin}")
            else:
                taken |= wanted
                mounted.append(_undocumented(handler))
    return mounted


def rootless(hub: Any, plugins: Plugins) -> set[str]:
    """The plugins whose routes are under /compat only: by `[compat.PLUGIN] root`, or for want of a model."""
    served = {plugins.backend_plugins.get(model.spec.name) for model in hub.models}
    switched_off = {plugin for plugin, wanted in hub.settings.compat.items() if not wanted.root}
    return switched_off | {info.name for info in plugins.installed if info.backends and info.name not in served}


def shapes(routes: Routes) -> dict[str, ExceptionHandler[Any]]:
    """Plugin -> how its first handler with an exception handler for everything tells errors."""
    found: dict[str, ExceptionHandler[Any]] = {}
    for plugin, handlers in routes.items():
        for handler in handlers:
            own = getattr(handler, "exception_handlers", None) or {}
            if Exception in own:
                found.setdefault(plugin, own[Exception])
    return found


def shaped(handlers: Sequence[Handler], shape: ExceptionHandler[Any]) -> list[Handler]:
    """`handlers`, whose errors `shape` tells from now on: it gets the request and whatever was raised.

    So it does for wrong paths below /compat/<plugin>, and for all that goes wrong where the family is served alone.
    """
    for handler in handlers:
        handler.exception_handlers = {Exception: shape}
    return list(handlers)


def places(handlers: Iterable[ControllerRouterHandler]) -> set[Place]:
    """Which places `handlers` answer at, the OPTIONS that Litestar adds included."""
    found: set[Place] = set()
    for route in Router("/", route_handlers=list(handlers)).routes:
        path = re.sub(r"\{[^}]*\}", "{}", route.path)
        if isinstance(route, HTTPRoute):
            found |= {(method, path) for handler in route.route_handlers for method in handler.http_methods}
        else:
            found.add(("WEBSOCKET" if isinstance(route, WebSocketRoute) else "ASGI", path))
    return found


def _undocumented(handler: Any) -> ControllerRouterHandler:
    """A copy that is left out of the schema."""
    if isinstance(handler, type):
        return type(handler.__name__, (handler,), {"include_in_schema": False})
    if not isinstance(handler, HTTPRouteHandler | Router):
        return handler  # type: ignore[no-any-return]
    twin = copy(handler)
    twin.include_in_schema = False
    return twin


def _stands(plugins: Plugins, plugin: str, handler: ControllerRouterHandler) -> bool:
    """Whether Litestar can build this handler; what is wrong with it must not keep the hub from starting."""
    try:
        Litestar(route_handlers=[Router("/", route_handlers=[handler])], openapi_config=None, logging_config=None)
    except Exception as error:
        _report(plugins, plugin, f"register_routes: {type(error).__name__}: {error}")
        return False
    return True


def _note(plugins: Plugins, plugin: str, words: str) -> None:
    log.info("plugin %s: %s", plugin, words)
    plugins.note(plugin, words)


def _report(plugins: Plugins, plugin: str, problem: str) -> None:
    log.warning("plugin %s: %s", plugin, problem)
    plugins.fail(plugin, problem)


def _words(clashes: Iterable[Place]) -> str:
    return ", ".join(f"{method} {path}" for method, path in clashes)
