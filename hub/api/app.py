"""create_apps(): the hub as a Litestar app, and beside it the apps of plugins that have a port of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

from litestar import Litestar, Request, Response
from litestar.config.app import AppConfig
from litestar.config.cors import CORSConfig
from litestar.types import ControllerRouterHandler, ExceptionHandler

from hub.api import (
    codec,
    compat,
    conversion,
    dictionaries,
    docs,
    elevenlabs,
    errors,
    events,
    models,
    openai,
    openai_voices,
    ops,
    scenes,
    speech,
    subtitles,
    tasks,
)
from hub.api import socket as live_socket
from hub.api.auth import ApiKeys, gate
from hub.api.negotiate import HubRequest, HubResponse
from hub.api.respond import EXPOSED_HEADERS
from hub.api.voices import routes as voice_routes
from hub.service.hub import Hub
from hub.service.metrics import Metrics
from hub.settings import SettingsError


def create_app(hub: Hub) -> Litestar:
    """All routes of the hub and of its plugins. The app's lifespan starts and stops `hub`."""
    return create_apps(hub)[0]


def create_apps(hub: Hub) -> tuple[Litestar, dict[int, Litestar]]:
    """`create_app`'s app, and by port those of `[compat.PLUGIN] port`, which live in its lifespan."""
    routes = compat.sound_routes(hub, hub.plugins)
    keys = ApiKeys(hub.settings.auth)
    ports = {
        wanted.port: _plugin_app(hub, keys, routes.get(plugin, []))
        for plugin, wanted in hub.settings.compat.items()
        if wanted.port is not None
    }
    return _hub_app(hub, keys, routes), ports


def _hub_app(hub: Hub, keys: ApiKeys, routes: compat.Routes) -> Litestar:
    settings = hub.settings
    metrics = Metrics(hub.models)
    hub.observers.append(metrics)
    hub.tasks.caller_of = keys.named
    schema = docs.CompleteSchema()
    rootless = compat.rootless(hub, hub.plugins)
    own = [
        *speech.routes(hub),
        *events.routes(hub),
        *subtitles.routes(hub),
        *live_socket.routes(hub),
        *conversion.routes(hub),
        *codec.routes(hub),
        *openai.routes(hub),
        *openai_voices.routes(hub),
        *models.routes(hub),
        *elevenlabs.routes(hub),
        *tasks.routes(hub),
        *voice_routes(hub),
        *scenes.routes(hub),
        *dictionaries.routes(hub),
        *ops.routes(hub, metrics),
        *docs.routes(schema),
    ]

    def configure(config: AppConfig) -> AppConfig:
        hub.plugins.configure_app(config)
        return config

    return Litestar(
        route_handlers=[*own, *compat.mount(routes, hub.plugins, own, rootless)],
        lifespan=[_lifespan(hub)],
        on_app_init=[configure],
        middleware=[gate(keys)] if keys else [],
        request_class=HubRequest,
        response_class=HubResponse,
        exception_handlers={Exception: partial(error_response, shapes=compat.shapes(routes))},
        request_max_body_size=settings.limits.body_bytes,
        cors_config=_cors(settings.cors.origins),
        openapi_config=docs.openapi_config(schema, keys=bool(keys)),
        logging_config=None,
    )


def create_alone(hub: Hub, plugin: str) -> Litestar:
    """The app of a hub that has nothing but `plugin`'s routes, at their original paths; its lifespan is the hub's.

    Raises SettingsError if the plugin has none.
    """
    handlers = compat.sound_routes(hub, hub.plugins).get(plugin)
    if not handlers:
        raise SettingsError(f"plugin {plugin!r} has no routes to serve; `ttshub plugins` says what is installed")
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
    """One plugin's routes alone, at their original paths, and its way to tell errors."""
    shape = compat.shapes({"": handlers}).get("", errors.error_response)
    return Litestar(
        route_handlers=handlers,
        lifespan=list(lifespan),
        middleware=[gate(keys)] if keys else [],
        request_class=HubRequest,
        response_class=HubResponse,
        exception_handlers={Exception: shape},
        request_max_body_size=hub.settings.limits.body_bytes,
        cors_config=_cors(hub.settings.cors.origins),
        openapi_config=None,
        logging_config=None,
    )


def error_response(
    request: Request[Any, Any, Any], raised: Exception, shapes: Mapping[str, ExceptionHandler[Any]] = {}
) -> Response[Any]:
    """The app's exception handler. Below the paths of OpenAI, ElevenLabs and plugins even a wrong path has their shape.

    `shapes`: plugin -> its exception handler.
    """
    if request.scope["path"].startswith(openai.PATHS):
        return openai.error_response(request, raised)
    if request.scope["path"].startswith(elevenlabs.PATHS):
        return elevenlabs.error_response(request, raised)
    plugin = request.scope["path"].removeprefix("/compat/").partition("/")[0]
    if plugin in shapes and request.scope["path"].startswith("/compat/"):
        return shapes[plugin](request, raised)
    return errors.error_response(request, raised)


def _cors(origins: tuple[str, ...]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(allow_origins=list(origins), expose_headers=list(EXPOSED_HEADERS))
