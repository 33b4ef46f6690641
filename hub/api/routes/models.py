"""/v1/models/{model}: a model's capabilities, state and history; loading and unloading it.

`GET /v1/models/{model}` is also OpenAI's route: its object has OpenAI's fields, then the hub's. Errors have OpenAI's
shape, because that dialect reports all errors below `/v1/models` (`hub.builtin.openai`).
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from litestar import get, post
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct

from hub.api.http.openapi import errors
from hub.api.routes.ops import AllCapabilities
from hub.contract import errors as fault
from hub.service.models.decisions import Decision
from hub.service.models.model import ModelMemory, ModelStatus

if TYPE_CHECKING:
    from hub.plugin.host import HostModel
    from hub.service.hub import Hub
    from hub.service.models.model import Model

LEDGER = 50
"""Most decisions that are shown for a model."""


class ModelObject(Struct, kw_only=True):
    """A model as OpenAI lists it, with the hub's fields."""

    id: str
    created: int
    owned_by: str
    object: Literal["model"] = "model"
    backend: str
    capabilities: AllCapabilities


class ModelDetail(ModelObject, kw_only=True):
    """A model as OpenAI shows it, with its state, memory and history."""

    status: ModelStatus
    memory: ModelMemory
    preload: bool
    idle_unload: Annotated[
        float | None, Meta(description="seconds without a request after which it is unloaded; null: never")
    ]
    started_at: Annotated[float | None, Meta(description="when its worker was ready, seconds since the epoch")]
    last_used: Annotated[
        float | None, Meta(description="when a request last arrived or ended, seconds since the epoch")
    ]
    ledger: Annotated[list[Decision], Meta(description="what was decided about it, and why, oldest first")]


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """Return the handlers."""
    created = int(time.time())
    return [_retrieving(hub, created), _loading(hub, created), _unloading(hub, created)]


def _retrieving(hub: Hub, created: int) -> ControllerRouterHandler:
    @get(
        "/v1/models/{model:str}",
        tags=["models"],
        operation_id="retrieveModel",
        summary="Get a model, as in OpenAI's API, with its state and history",
        responses=errors(fault.UnknownModel, fault.InvalidRequest, fault.BackendUnavailable),
    )
    async def retrieve_model(model: FromPath[str]) -> ModelDetail:
        """Returns the model of this name: its capabilities, state and memory, and what was decided about it."""
        return detail(hub, hub.models.get(model), created)

    return retrieve_model


def _loading(hub: Hub, created: int) -> ControllerRouterHandler:
    @post(
        "/v1/models/{model:str}/load",
        status_code=200,
        tags=["models"],
        operation_id="loadModel",
        summary="Load a model",
        responses=errors(
            fault.UnknownModel,
            fault.InvalidRequest,
            fault.DeadlineExceeded,
            fault.WorkerStartFailed,
            fault.BackendUnavailable,
        ),
    )
    async def load_model(model: FromPath[str]) -> ModelDetail:
        """Returns when the model is loaded, at once if it already is. Idle models make room, as for a request."""
        found = hub.models.get(model)
        await found.start(_deadline(found), why="by command")
        return detail(hub, found, created)

    return load_model


def _unloading(hub: Hub, created: int) -> ControllerRouterHandler:
    @post(
        "/v1/models/{model:str}/unload",
        status_code=200,
        tags=["models"],
        operation_id="unloadModel",
        summary="Unload a model",
        responses=errors(
            fault.UnknownModel,
            fault.InvalidRequest,
            fault.DeadlineExceeded,
            fault.BackendUnavailable,
        ),
    )
    async def unload_model(
        model: FromPath[str],
        force: Annotated[bool, QueryParameter(description="do not wait for running requests")] = False,
    ) -> ModelDetail:
        """Ends the model's worker, which frees its memory; the next request for the model loads it again.

        Running requests may finish first, for at most the model's `deadline`, while new ones wait. With `force` the
        worker ends now, and its streams end with a fault.
        """
        found = hub.models.get(model)
        await found.unload(until=_deadline(found), force=force)
        return detail(hub, found, created)

    return unload_model


def detail(hub: Hub, model: Model, created: int) -> ModelDetail:
    """Return the current state of `model`."""
    return ModelDetail(
        **msgspec.structs.asdict(model_object(model, created)),
        status=msgspec.structs.replace(model.status(), default=model is hub.models.default),
        memory=model.memory(),
        preload=model.settings.preload,
        idle_unload=model.settings.idle_unload,
        started_at=model.engine.status.started_at,
        last_used=model.last_used,
        ledger=model.decisions()[-LEDGER:],
    )


def _deadline(model: Model) -> float:
    return asyncio.get_running_loop().time() + model.settings.deadline


def model_object(model: HostModel, created: int) -> ModelObject:
    """Return `model` in OpenAI's shape."""
    capabilities = AllCapabilities(**msgspec.structs.asdict(model.capabilities))
    return ModelObject(
        id=model.name, created=created, owned_by=model.spec.name, backend=model.spec.name, capabilities=capabilities
    )
