"""Mounts the routes of plugins, including the hub's own dialects, below /compat/<plugin>/ and at their original paths.

Original paths are for the families that this hub serves: if a plugin brings backends and none of them has a model, its
routes are only below /compat. If two routes want the same path, the hub comes first, then its own dialects, then the
plugins by name; `Plugins.notes` names the route that is left out.

A plugin also says how it reports errors (`shaped`), and below which paths a wrong path is reported the same way.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple, TypeVar

from litestar import Litestar, Request, Response, Router
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.routes import HTTPRoute, WebSocketRoute
from litestar.types import ControllerRouterHandler, ExceptionHandler
from msgspec import Struct

from hub.api.http.errors import error_response
from hub.plugin.manager import Plugins

log = logging.getLogger("hub.api")

YIELDS = {"yields": True}
"""`opt` of a handler that gives up its original path without a note: the hub's own route does the same job."""

ROOT = {"mount": "root"}
"""`opt` of a handler that is mounted, and documented, only at its original path."""

PREFIX = {"mount": "prefix"}
"""`opt` of a handler that is mounted only below /compat/<plugin>/, unless the plugin is served alone."""

Endpoint = tuple[str, str]
"""(method, path without the names of its parameters). Only one handler can serve it."""

Handler = TypeVar("Handler", bound=BaseRouteHandler)

Routes = dict[str, list[ControllerRouterHandler]]
"""Plugin -> its handlers."""


class Shape(NamedTuple):
    """A way to report errors: the exception handler, the documented body, the original paths below which it holds."""

    respond: ExceptionHandler[Any]
    body: type[Struct] | None = None
    below: tuple[str, ...] = ()


def shaped(
    handlers: Sequence[Handler],
    respond: ExceptionHandler[Any],
    *,
    body: type[Struct] | None = None,
    below: tuple[str, ...] = (),
) -> list[Handler]:
    """Let `respond` report the errors of `handlers`; it gets the request and the exception.

    It also reports wrong paths below /compat/<plugin> and below the paths in `below`, and every error if the plugin is
    served alone. `body` is the documented form of such an error.
    """
    for handler in handlers:
        handler.exception_handlers = {Exception: respond}
        handler.opt = {**handler.opt, "shape": Shape(respond, body, below)}
    return list(handlers)


def mounted_at(handlers: Sequence[Handler], only: Mapping[str, str]) -> list[Handler]:
    """Mark `handlers` to be mounted at only one of their two paths: ROOT or PREFIX."""
    for handler in handlers:
        handler.opt = {**handler.opt, **only}
    return list(handlers)


def sound_routes(hub: Any, plugins: Plugins) -> Routes:
    """Return the routes that plugins register. Those that cannot be built are reported in `plugins.failures`."""
    return {
        plugin: [handler for handler in handlers if _can_be_built(plugins, plugin, handler)]
        for plugin, handlers in plugins.routes(hub)
    }


def mount(
    routes: Routes, plugins: Plugins, own: Sequence[ControllerRouterHandler], rootless: Collection[str] = ()
) -> list[ControllerRouterHandler]:
    """Return the handlers for the plugins' `routes`, beside the hub's `own`.

    A route at two paths is documented only below /compat. Plugins in `rootless` are mounted only below /compat. If an
    original path is taken, `plugins.notes` says so; the plugin's other routes are mounted all the same.
    """
    taken = endpoints(own)
    mounted: list[ControllerRouterHandler] = []
    for plugin, handlers in routes.items():
        if below := [handler for handler in handlers if _mount_of(handler) != "root"]:
            mounted.append(Router(f"/compat/{plugin}", route_handlers=below, tags=[plugin]))
        for handler in handlers if plugin not in rootless else ():
            if _mount_of(handler) == "prefix":
                continue
            wanted = endpoints([handler])
            if not isinstance(handler, Router):  # a handler joins others at its path; a router brings its own OPTIONS
                wanted = {one for one in wanted if one[0] != "OPTIONS"}
            if clashes := sorted(wanted & taken):
                if not _opt(handler).get("yields"):
                    _note(plugins, plugin, f"{_words(clashes)} is already taken; use /compat/{plugin}")
                continue
            taken |= wanted
            mounted.append(_tagged(handler, plugin) if _mount_of(handler) == "root" else _undocumented(handler))
    return mounted


def alone(handlers: Iterable[ControllerRouterHandler]) -> list[ControllerRouterHandler]:
    """Return a plugin's handlers for their original paths, each endpoint once."""
    taken: set[Endpoint] = set()
    kept = []
    for handler in handlers:
        wanted = {one for one in endpoints([handler]) if one[0] != "OPTIONS"}
        if not wanted & taken:
            taken |= wanted
            kept.append(handler)
    return kept


def rootless(hub: Any, plugins: Plugins) -> set[str]:
    """Return the plugins whose routes are only below /compat: by `[compat.PLUGIN] root`, or for lack of a model."""
    served = {plugins.backend_plugins.get(model.spec.name) for model in hub.models}
    switched_off = {plugin for plugin, wanted in hub.settings.compat.items() if not wanted.root}
    return switched_off | {info.name for info in plugins.installed if info.backends and info.name not in served}


class Shapes:
    """The app's exception handler: it reports in the shape of the plugin that owns the path, else in the hub's."""

    def __init__(self, routes: Mapping[str, Iterable[ControllerRouterHandler]], rootless: Collection[str] = ()) -> None:
        self._below: dict[str, Shape] = {}
        for plugin, handlers in routes.items():
            for shape in map(_shape, handlers):
                if shape is not None:
                    self._below.setdefault(f"/compat/{plugin}/", shape)
                    for path in shape.below if plugin not in rootless else ():
                        self._below.setdefault(path, shape)

    def __call__(self, request: Request[Any, Any, Any], raised: Exception) -> Response[Any]:
        """Report the exception."""
        shape = self.at(request.scope["path"])
        return shape.respond(request, raised) if shape is not None else error_response(request, raised)

    def at(self, path: str) -> Shape | None:
        """Return the shape of errors at `path`; None for the hub's own."""
        found = [below for below in self._below if path.startswith(below) or below == f"{path}/" == _prefix(path)]
        return self._below[max(found, key=len)] if found else None


def shape_of(handlers: Iterable[ControllerRouterHandler]) -> Shape:
    """Return the shape of a plugin that is served alone: that of its first handler with one, else the hub's."""
    found = [shape for handler in handlers if (shape := _shape(handler)) is not None]
    return found[0] if found else Shape(error_response)


def endpoints(handlers: Iterable[ControllerRouterHandler]) -> set[Endpoint]:
    """Return the endpoints of `handlers`, including the OPTIONS that Litestar adds."""
    found: set[Endpoint] = set()
    for route in Router("/", route_handlers=list(handlers)).routes:
        path = re.sub(r"\{[^}]*\}", "{}", route.path)
        if isinstance(route, HTTPRoute):
            found |= {(method, path) for handler in route.route_handlers for method in handler.http_methods}
        else:
            found.add(("WEBSOCKET" if isinstance(route, WebSocketRoute) else "ASGI", path))
    return found


def _prefix(path: str) -> str:
    return f"/compat/{path.split('/')[-1]}/"


def _opt(handler: Any) -> Mapping[str, Any]:
    return getattr(handler, "opt", None) or {}


def _mount_of(handler: Any) -> str:
    return str(_opt(handler).get("mount", "both"))


def _shape(handler: Any) -> Shape | None:
    """Return a handler's own shape. An exception handler for `Exception` makes one, even without `shaped`."""
    if (shape := _opt(handler).get("shape")) is not None:
        return shape  # type: ignore[no-any-return]
    own = getattr(handler, "exception_handlers", None) or {}
    return Shape(own[Exception]) if Exception in own else None


def _tagged(handler: Any, plugin: str) -> ControllerRouterHandler:
    """Tag a handler that is documented at its original path, where no router gives it the plugin's tag."""
    handler.tags = handler.tags or [plugin]
    return handler  # type: ignore[no-any-return]


def _undocumented(handler: Any) -> ControllerRouterHandler:
    """Return a copy that is left out of the schema."""
    if isinstance(handler, type):
        return type(handler.__name__, (handler,), {"include_in_schema": False})
    if not isinstance(handler, HTTPRouteHandler | Router):
        return handler  # type: ignore[no-any-return]
    twin = copy(handler)
    twin.include_in_schema = False
    return twin


def _can_be_built(plugins: Plugins, plugin: str, handler: ControllerRouterHandler) -> bool:
    """Return True if Litestar can build this handler; report one that would keep the hub from starting."""
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


def _words(clashes: Iterable[Endpoint]) -> str:
    return ", ".join(f"{method} {path}" for method, path in clashes)
