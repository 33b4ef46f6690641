"""Where the routes of plugins are, the hub's own dialects included: below /compat/<plugin>/, and at their own paths.

The original paths are for the families that this hub serves: a plugin that brings backends, none of which has a model
here, is only below /compat. Where two want the same path, the hub comes first, then its own dialects, then the plugins
by name; `Plugins.notes` names the route that came too late.

A plugin also says how it reports errors (`shaped`), and below which paths even a wrong path is reported so.
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
"""`opt` of a handler that may give way at its original path in silence: the hub's own route there does as well."""

ROOT = {"mount": "root"}
"""`opt` of a handler that is only at its original path, and documented there."""

PREFIX = {"mount": "prefix"}
"""`opt` of a handler that is only below /compat/<plugin>/, unless the plugin is served alone."""

Endpoint = tuple[str, str]
"""(method, path with its parameters' names left out): what only one handler can answer."""

Handler = TypeVar("Handler", bound=BaseRouteHandler)

Routes = dict[str, list[ControllerRouterHandler]]
"""Plugin -> its handlers."""


class Shape(NamedTuple):
    """How errors are reported: by which exception handler, in which documented body, below which original paths."""

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
    """`handlers`, whose errors `respond` reports from now on: it gets the request and whatever was raised.

    So it does for wrong paths below /compat/<plugin> and below the paths in `below`, and for everything that goes wrong
    where the plugin is served alone. `body` is the documented form of such an error.
    """
    for handler in handlers:
        handler.exception_handlers = {Exception: respond}
        handler.opt = {**handler.opt, "shape": Shape(respond, body, below)}
    return list(handlers)


def mounted_at(handlers: Sequence[Handler], only: Mapping[str, str]) -> list[Handler]:
    """`handlers`, mounted at one of their two paths only: ROOT or PREFIX."""
    for handler in handlers:
        handler.opt = {**handler.opt, **only}
    return list(handlers)


def sound_routes(hub: Any, plugins: Plugins) -> Routes:
    """The routes that plugins register. One that cannot be built is reported in `plugins.failures`."""
    return {
        plugin: [handler for handler in handlers if _stands(plugins, plugin, handler)]
        for plugin, handlers in plugins.routes(hub)
    }


def mount(
    routes: Routes, plugins: Plugins, own: Sequence[ControllerRouterHandler], rootless: Collection[str] = ()
) -> list[ControllerRouterHandler]:
    """The `routes` of plugins, beside the hub's `own`. A route at two paths is documented below /compat only.

    Plugins in `rootless` are only below /compat. A route whose original path is taken is noted in `plugins.notes`; the
    others stand.
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
                    _note(plugins, plugin, f"{_words(clashes)} is taken already; see /compat/{plugin}")
                continue
            taken |= wanted
            mounted.append(_tagged(handler, plugin) if _mount_of(handler) == "root" else _undocumented(handler))
    return mounted


def alone(handlers: Iterable[ControllerRouterHandler]) -> list[ControllerRouterHandler]:
    """A plugin's handlers at their original paths, each endpoint once."""
    taken: set[Endpoint] = set()
    kept = []
    for handler in handlers:
        wanted = {one for one in endpoints([handler]) if one[0] != "OPTIONS"}
        if not wanted & taken:
            taken |= wanted
            kept.append(handler)
    return kept


def rootless(hub: Any, plugins: Plugins) -> set[str]:
    """The plugins whose routes are below /compat only: by `[compat.PLUGIN] root`, or for want of a model."""
    served = {plugins.backend_plugins.get(model.spec.name) for model in hub.models}
    switched_off = {plugin for plugin, wanted in hub.settings.compat.items() if not wanted.root}
    return switched_off | {info.name for info in plugins.installed if info.backends and info.name not in served}


class Shapes:
    """The app's exception handler: by a request's path, the hub's own shape or that of the plugin it belongs to."""

    def __init__(self, routes: Mapping[str, Iterable[ControllerRouterHandler]], rootless: Collection[str] = ()) -> None:
        self._below: dict[str, Shape] = {}
        for plugin, handlers in routes.items():
            for shape in map(_shape, handlers):
                if shape is not None:
                    self._below.setdefault(f"/compat/{plugin}/", shape)
                    for path in shape.below if plugin not in rootless else ():
                        self._below.setdefault(path, shape)

    def __call__(self, request: Request[Any, Any, Any], raised: Exception) -> Response[Any]:
        """Report what was raised."""
        shape = self.at(request.scope["path"])
        return shape.respond(request, raised) if shape is not None else error_response(request, raised)

    def at(self, path: str) -> Shape | None:
        """The shape of what is reported at `path`; None: the hub's own."""
        found = [below for below in self._below if path.startswith(below) or below == f"{path}/" == _prefix(path)]
        return self._below[max(found, key=len)] if found else None


def shape_of(handlers: Iterable[ControllerRouterHandler]) -> Shape:
    """How a plugin that is served alone reports errors: as the first of its handlers does that says so."""
    found = [shape for handler in handlers if (shape := _shape(handler)) is not None]
    return found[0] if found else Shape(error_response)


def endpoints(handlers: Iterable[ControllerRouterHandler]) -> set[Endpoint]:
    """The endpoints that `handlers` answer at, the OPTIONS that Litestar adds included."""
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
    """A handler's own shape; one with an exception handler for everything has a shape without being `shaped`."""
    if (shape := _opt(handler).get("shape")) is not None:
        return shape  # type: ignore[no-any-return]
    own = getattr(handler, "exception_handlers", None) or {}
    return Shape(own[Exception]) if Exception in own else None


def _tagged(handler: Any, plugin: str) -> ControllerRouterHandler:
    """A handler that is documented at its original path, where no router gives it the plugin's tag."""
    handler.tags = handler.tags or [plugin]
    return handler  # type: ignore[no-any-return]


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


def _words(clashes: Iterable[Endpoint]) -> str:
    return ", ".join(f"{method} {path}" for method, path in clashes)
