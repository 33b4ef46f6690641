"""GET /v1/models, as in OpenAI's API. The route of a single model is in `hub.api.routes.models`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from litestar import get
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from hub.api.routes.models import ModelObject, model_object

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hub.plugin.host import Host, HostModel


class ModelList(Struct, kw_only=True):
    """All models."""

    data: list[ModelObject]
    object: Literal["list"] = "list"


def model_list(models: Iterable[HostModel], created: int) -> ModelList:
    """List `models` in OpenAI's shape. `created` is in seconds since the epoch."""
    return ModelList(data=[model_object(model, created) for model in models])


def routes(hub: Host) -> list[HTTPRouteHandler]:
    """Return the handlers."""
    created = int(time.time())

    @get("/v1/models", operation_id="listModels", summary="List all models, as in OpenAI's API", sync_to_thread=False)
    def list_models() -> ModelList:
        """Returns the configured models."""
        return model_list(hub.models, created)

    return [list_models]
