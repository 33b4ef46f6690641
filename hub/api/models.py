"""One model: what it is, where it is in its life and why; loading and unloading it.

`GET /v1/models/{model}` is also OpenAI's route: its object has OpenAI's fields, then the hub's. Errors here have
OpenAI's shape, as below all of `/v1/models`.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import msgspec
from litestar import Router, get, post
from litestar.params import FromPath, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from hub.api.docs import errors
from hub.api.openai import ModelObject, OpenAIError, error_response, model_object
from hub.contract import errors as fault
from hub.service.decisions import Decision
from hub.service.models import ModelMemory, ModelStatus

if TYPE_CHECKING:
    from hub.service.hub import Hub
    from hub.service.models import Model

LEDGER = 50
"""Decisions that are shown of a model."""


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
    """The handlers, in a router that tells errors in OpenAI's shape."""
    created = int(time.time())

    @get(
        "/v1/models/{model:str}",
        operation_id="retrieveModel",
        summary="One model, as OpenAI's API, with its state and why",
        responses=errors(fault.UnknownModel, fault.InvalidRequest, fault.BackendUnavailable, body=OpenAIError),
    )
    async def retrieve_model(model: FromPath[str]) -> ModelDetail:
        """The configured model of this name: what it can do, its state, its memory, and what was decided about it."""
        return detail(hub, hub.models.get(model), created)

    @post(
        "/v1/models/{model:str}/load",
        status_code=200,
        operation_id="loadModel",
        summary="Load a model",
        responses=errors(
            fault.UnknownModel,
            fault.InvalidRequest,
            fault.DeadlineExceeded,
            fault.WorkerStartFailed,
            fault.BackendUnavailable,
            body=OpenAIError,
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
        operation_id="unloadModel",
        summary="Unload a model",
        responses=errors(
            fault.UnknownModel,
            fault.InvalidRequest,
            fault.DeadlineExceeded,
            fault.BackendUnavailable,
            body=OpenAIError,
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

    handlers = [retrieve_model, load_model, unload_model]
    return [Router("/", route_handlers=handlers, exception_handlers={Exception: error_response}, tags=["models"])]


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
