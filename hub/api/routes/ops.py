"""The state of the hub: health, readiness, backends, metrics."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import HttpMethod, Response, get, route
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct

from hub.api.http.auth import OPEN
from hub.api.http.negotiate import HubResponse
from hub.api.http.openapi import errors
from hub.contract.backend import BackendSpec, Capabilities
from hub.contract.errors import InvalidRequest, Unavailable
from hub.plugin.manager import PluginFailure, PluginInfo, PluginNote
from hub.service.models.metrics import CONTENT_TYPE, Metrics
from hub.service.models.model import ModelStatus
from hub.version import __version__

if TYPE_CHECKING:
    from hub.service.hub import Hub


class Health(Struct, kw_only=True):
    """The hub is running; `models` are the states of its models."""

    status: str = "ok"
    version: str
    uptime: Annotated[float, Meta(description="seconds since the start")]
    ready: Annotated[bool, Meta(description="every model marked `preload` is loaded, or was unloaded on purpose")]
    models: list[ModelStatus]


class Readiness(Struct, kw_only=True):
    """The models marked `preload`, and which of them the hub still waits for."""

    ready: bool
    waiting_for: list[str] = []


class AllCapabilities(Capabilities, kw_only=True, frozen=True, omit_defaults=False):
    """All capabilities of a model, including those that it lacks."""


class BackendView(Struct, kw_only=True):
    """A model family and its models."""

    name: str
    title: str
    description: str
    plugin: str
    contract: int
    licence: str
    homepage: str
    capabilities: AllCapabilities
    options_schema: Annotated[dict[str, Any] | None, Meta(description="JSON Schema of a request's `options`")]
    models: list[ModelView]


class ModelView(Struct, kw_only=True):
    """A configured model: its state, and the capabilities of its loaded checkpoint."""

    status: ModelStatus
    capabilities: AllCapabilities


class Backends(Struct, kw_only=True):
    """Everything that is installed, and what failed."""

    backends: list[BackendView]
    plugins: list[PluginInfo]
    failures: list[PluginFailure]
    notes: Annotated[list[PluginNote], Meta(description="facts that are in order but may surprise")]
    missing: Annotated[dict[str, str], Meta(description="configured models whose backend is not available")]


def routes(hub: Hub, metrics: Metrics) -> list[ControllerRouterHandler]:
    """Return the handlers."""
    return [*_probes(hub), _backends(hub), _prometheus(metrics)]


def _probes(hub: Hub) -> list[ControllerRouterHandler]:
    started = time.monotonic()

    @route(
        "/v1/health",
        http_method=[HttpMethod.GET, HttpMethod.POST],
        status_code=200,
        opt=OPEN,
        tags=["operations"],
        summary="Check that the hub is alive",
        sync_to_thread=False,
    )
    def health() -> Health:
        """Returns 200 as long as the hub runs, whatever the state of its models."""
        uptime = round(time.monotonic() - started, 3)
        return Health(version=__version__, uptime=uptime, ready=hub.ready, models=hub.models.status())

    @get(
        "/v1/ready",
        opt=OPEN,
        tags=["operations"],
        summary="Check that the preloaded models are loaded",
        operation_id="ready",
        responses=errors(Unavailable, body=Readiness),
        sync_to_thread=False,
    )
    def ready() -> Response[Readiness]:
        """Returns 503 until every model marked `preload` is loaded."""
        waiting = [model.name for model in hub.models if model.missed]
        return HubResponse(Readiness(ready=not waiting, waiting_for=waiting), status_code=503 if waiting else 200)

    return [health, ready]


def _backends(hub: Hub) -> ControllerRouterHandler:
    @get(
        "/v1/backends",
        tags=["operations"],
        summary="List the backends, their models and options, and failures",
        operation_id="backends",
        responses=errors(InvalidRequest),
        sync_to_thread=False,
    )
    def backends() -> Backends:
        """Returns what is installed, each backend's capabilities and request options, and what failed to load."""
        return Backends(
            backends=[_backend_view(hub, spec) for spec in hub.plugins.backends.values()],
            plugins=hub.plugins.installed,
            failures=[
                PluginFailure(plugin=failed.plugin, distribution=failed.distribution, error=without_paths(failed.error))
                for failed in hub.plugins.failures
            ],
            notes=hub.plugins.notes,
            missing=hub.models.missing,
        )

    return backends


def _prometheus(metrics: Metrics) -> ControllerRouterHandler:
    @get("/metrics", include_in_schema=False, sync_to_thread=False, media_type=CONTENT_TYPE)
    def prometheus() -> bytes:
        """Returns the metrics in Prometheus' text format."""
        return metrics.render()

    return prometheus


def _backend_view(hub: Hub, spec: BackendSpec) -> BackendView:
    return BackendView(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        plugin=hub.plugins.backend_plugins[spec.name],
        contract=spec.contract,
        licence=spec.licence,
        homepage=spec.homepage,
        capabilities=_all(spec.capabilities),
        options_schema=msgspec.json.schema(spec.options) if spec.options is not None else None,
        models=[
            ModelView(status=status, capabilities=_all(hub.models.get(status.name).capabilities))
            for status in hub.models.status()
            if status.backend == spec.name
        ],
    )


def _all(capabilities: Capabilities) -> AllCapabilities:
    return AllCapabilities(**msgspec.structs.asdict(capabilities))


_PATH = re.compile(r"(?:[A-Za-z]:\\[^\s:'\"()]+|/([^\s/:'\"()]+)/[^\s:'\"()]+)")


def without_paths(text: str) -> str:
    """Return `text` with each path of a local file cut down to its last part, so that strangers do not see it.

    A path whose first folder does not exist, such as a route's, stays.
    """

    def shorten(found: re.Match[str]) -> str:
        root = found.group(1)
        if root is not None and not Path("/", root).exists():
            return found.group()
        return re.split(r"[\\/]", found.group().rstrip("/\\"))[-1]

    return _PATH.sub(shorten, text)
