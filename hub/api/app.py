"""`create_apps()`: the hub as a Litestar app, and one more app for each plugin that has its own port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.config.cors import CORSConfig
from litestar.types import ControllerRouterHandler

from hub.api import mount
from hub.api.http.auth import ApiKeys, gate
from hub.api.http.negotiate import HubRequest, HubResponse
from hub.api.respond import EXPOSED_HEADERS
from hub.api.routes import (
    codec,
    conversion,
    dictionaries,
    docs,
    events,
    live,
    models,
    ops,
    scenes,
    speech,
    subtitles,
    tasks,
    voices,
)
from hub.service.hub import Hub
from hub.service.models.metrics import Metrics
from hub.settings import SettingsError


def create_app(hub: Hub) -> Litestar:
    """Return the app with all routes of the hub and its plugins. Its lifespan starts and stops `hub`."""
    return create_apps(hub)[0]


def create_apps(hub: Hub) -> tuple[Litestar, dict[int, Litestar]]:
    """Return `create_app`'s app, and by port the apps of `[compat.PLUGIN] port`, which run in its lifespan."""
    routes = mount.sound_routes(hub, hub.plugins)
    keys = ApiKeys(hub.settings.auth)
    ports = {
        wanted.port: _plugin_app(hub, keys, routes.get(plugin, []))
        for plugin, wanted in hub.settings.compat.items()
        if wanted.port is not None
    }
    return _hub_app(hub, keys, routes), ports


def _hub_app(hub: Hub, keys: ApiKeys, routes: mount.Routes) -> Litestar:
    settings = hub.settings
    metrics = Metrics(hub.models)
    hub.observers.append(metrics)
    hub.tasks.caller_of = keys.named
    rootless = mount.rootless(hub, hub.plugins)
    shapes = mount.Shapes(routes, rootless)
    schema = docs.CompleteSchema(shapes)
    own = [*_own_routes(hub), *ops.routes(hub, metrics), *docs.routes(schema)]

    def configure(config: AppConfig) -> AppConfig:
        hub.plugins.configure_app(config)
        return config

    return Litestar(
        route_handlers=[*own, *mount.mount(routes, hub.plugins, own, rootless)],
        lifespan=[_lifespan(hub)],
        on_app_init=[configure],
        middleware=[gate(keys)] if keys else [],
        request_class=HubRequest,
        response_class=HubResponse,
        exception_handlers={Exception: shapes},
        request_max_body_size=settings.limits.body_bytes,
        cors_config=_cors(settings.cors.origins),
        openapi_config=docs.openapi_config(schema, keys=bool(keys)),
        logging_config=None,
    )


def _own_routes(hub: Hub) -> list[ControllerRouterHandler]:
    """Return the handlers of the hub's own API."""
    rooms = (speech, events, subtitles, live, conversion, codec, models, tasks, voices, scenes, dictionaries)
    return [handler for room in rooms for handler in room.routes(hub)]


def create_alone(hub: Hub, plugin: str) -> Litestar:
    """Return an app with only `plugin`'s routes, at their original paths. Its lifespan starts and stops `hub`.

    Raises SettingsError if the plugin has no routes.
    """
    handlers = mount.sound_routes(hub, hub.plugins).get(plugin)
    if not handlers:
        raise SettingsError(f"plugin {plugin!r} has no routes to serve; `ttshub plugins` lists the installed plugins")
    keys = ApiKeys(hub.settings.auth)
    hub.tasks.caller_of = keys.named
    return _plugin_app(hub, keys, handlers, [_lifespan(hub)])


def _lifespan(hub: Hub) -> Callable[[Litestar], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        await hub.start()
        try:
            yield
        finally:
            await hub.stop()

    return lifespan


def _plugin_app(
    hub: Hub,
    keys: ApiKeys,
    handlers: list[ControllerRouterHandler],
    lifespan: Sequence[Callable[[Litestar], AbstractAsyncContextManager[None]]] = (),
) -> Litestar:
    """Return an app with one plugin's routes, at their original paths and with its shape of errors."""
    return Litestar(
        route_handlers=mount.alone(handlers),
        lifespan=list(lifespan),
        middleware=[gate(keys)] if keys else [],
        request_class=HubRequest,
        response_class=HubResponse,
        exception_handlers={Exception: mount.shape_of(handlers).respond},
        request_max_body_size=hub.settings.limits.body_bytes,
        cors_config=_cors(hub.settings.cors.origins),
        openapi_config=None,
        logging_config=None,
    )


def _cors(origins: tuple[str, ...]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(allow_origins=list(origins), expose_headers=list(EXPOSED_HEADERS))
