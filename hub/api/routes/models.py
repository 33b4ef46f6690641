"""One model: what it is, where it is in its life and why; loading and unloading it.

`GET /v1/models/{model}` is also OpenAI's route: its object has OpenAI's fields, then the hub's. Errors come in OpenAI's
shape, because that dialect reports whatever goes wrong below `/v1/models` (`hub.builtin.openai`).
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
"""Decisions that are shown of a model."""


class ModelObject(Struct, kw_only=True):
    """A model as OpenAI lists it, and what the hub knows of it."""

    id: str
    created: int
    owned_by: str
    object: Literal["model"] = "model"
    backend: str
    capabilities: AllCapabilities


class ModelDetail(ModelObject, kw_only=True):
    """A model as OpenAI shows it, and all that the hub knows of it."""

    status: ModelStatus
    memory: ModelMemory
    preload: bool
    idle_unload: Annotated[float | None, Meta(description="seconds of rest after which it is unloaded; null: never")]
    started_at: Annotated[float | None, Meta(description="when its worker was ready, seconds since the epoch")]
    last_used: Annotated[float | None, Meta(description="when a request last came or ended, seconds since the epoch")]
    ledger: Annotated[list[Decision], Meta(description="why it was loaded, unloaded and so on, oldest first")]


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """The handlers."""
    created = int(time.time())

    @get(
        "/v1/models/{model:str}",
        tags=["models"],
        operation_id="retrieveModel",
        summary="One model, as OpenAI's API, with its state and why",
        responses=errors(fault.UnknownModel, fault.InvalidRequest, fault.BackendUnavailable),
    )
    async def retrieve_model(model: FromPath[str]) -> ModelDetail:
        """The configured model of this name: what it can do, its state, its memory, and what was decided about it."""
        return detail(hub, hub.models.get(model), created)

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
        """Answers once the model is up, at once if it was. Idle models make room for it, as for a request."""
        found = hub.models.get(model)
        await found.start(_deadline(found), why="somebody asked")
        return detail(hub, found, created)

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
        force: Annotated[bool, QueryParameter(description="do not wait for what it speaks")] = False,
    ) -> ModelDetail:
        """Ends the model's worker, so that its memory comes back; the next request for it loads it again.

        What it speaks is finished first, for at most the model's `deadline`, and new requests wait meanwhile. With
        `force` it ends now, and its streams with a fault.
        """
        found = hub.models.get(model)
        await found.unload(until=_deadline(found), force=force)
        return detail(hub, found, created)

    return [retrieve_model, load_model, unload_model]


def detail(hub: Hub, model: Model, created: int) -> ModelDetail:
    """All about `model`, now."""
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
    """`model` in OpenAI's shape."""
    capabilities = AllCapabilities(**msgspec.structs.asdict(model.capabilities))
    return ModelObject(
        id=model.name, created=created, owned_by=model.spec.name, backend=model.spec.name, capabilities=capabilities
    )
