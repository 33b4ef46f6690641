"""create_app(): the hub as a Litestar app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request
from litestar.config.app import AppConfig
from litestar.config.cors import CORSConfig

from hub.api import compat, docs, errors, openai, ops, speech
from hub.api.auth import ApiKeys, gate
from hub.api.negotiate import HubRequest, HubResponse
from hub.api.respond import EXPOSED_HEADERS
from hub.service.hub import Hub
from hub.service.metrics import Metrics


def create_app(hub: Hub) -> Litestar:
    """All routes of the hub and of its plugins. The app's lifespan starts and stops `hub`."""
    settings = hub.settings
    metrics = Metrics(hub.models)
    hub.observers.append(metrics)
    schema = docs.CompleteSchema()
    keys = ApiKeys(settings.auth)
    own = [*speech.routes(hub), *openai.routes(hub), *ops.routes(hub, metrics), *docs.routes(schema)]

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        await hub.start()
        try:
            yield
        finally:
            await hub.stop()

    def configure(config: AppConfig) -> AppConfig:
        hub.plugins.configure_app(config)
        return config

    return Litestar(
        route_handlers=[*own, *compat.mount(hub, hub.plugins, own)],
        lifespan=[lifespan],
        on_app_init=[configure],
        middleware=[gate(keys)] if keys else [],
        request_class=HubRequest,
        response_class=HubResponse,
        exception_handlers={Exception: error_response},
        request_max_body_size=settings.limits.body_bytes,
        cors_config=_cors(settings.cors.origins),
        openapi_config=docs.openapi_config(schema, keys=bool(keys)),
        logging_config=None,
    )


def error_response(request: Request[Any, Any, Any], raised: Exception) -> HubResponse[Any]:
    """The app's exception handler; below OpenAI's paths even a wrong method or path is told in its shape."""
    if request.scope["path"].startswith(openai.PATHS):
        return openai.error_response(request, raised)
    return errors.error_response(request, raised)


def _cors(origins: tuple[str, ...]) -> CORSConfig | None:
    if not origins:
        return None
    return CORSConfig(allow_origins=list(origins), expose_headers=list(EXPOSED_HEADERS))
