"""/v1/scenes: stored descriptions, casts and defaults of requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from litestar import delete, get, put
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct

from hub.api.http.openapi import errors
from hub.contract import errors as fault
from hub.contract.scene import Scene

if TYPE_CHECKING:
    from hub.service.hub import Hub


class Scenes(Struct, kw_only=True):
    """All scenes, by id."""

    scenes: list[Scene]


class SceneBody(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A scene; every field is optional."""

    text: Annotated[
        str, Meta(description="describes the scene, for models that read one", examples=["A quiet room."])
    ] = ""
    cast: Annotated[dict[str, str], Meta(description="speaker tag -> voice id")] = {}
    defaults: Annotated[
        dict[str, Any], Meta(description="request fields (speed, gap, ...) to use where a request leaves them out")
    ] = {}


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """Return the handlers."""
    return [*_reading(hub), *_writing(hub)]


def _reading(hub: Hub) -> list[ControllerRouterHandler]:
    @get(
        "/v1/scenes",
        tags=["scenes"],
        operation_id="list_scenes",
        summary="List all scenes",
        responses=errors(fault.InvalidRequest, fault.StorageFailed),
    )
    async def list_scenes() -> Scenes:
        """Returns stored scenes, those in the configured folders, and those of plugins."""
        return Scenes(scenes=[*await asyncio.to_thread(hub.scenes.list)])

    @get(
        "/v1/scenes/{scene:str}",
        tags=["scenes"],
        operation_id="get_scene",
        summary="Get a scene",
        responses=errors(fault.InvalidRequest, fault.UnknownScene, fault.StorageFailed),
    )
    async def get_scene(scene: FromPath[str]) -> Scene:
        """Returns the scene as it is now: changes to its file by hand take effect at once."""
        return await asyncio.to_thread(hub.scenes.get, scene)

    return [list_scenes, get_scene]


def _writing(hub: Hub) -> list[ControllerRouterHandler]:
    @put(
        "/v1/scenes/{scene:str}",
        tags=["scenes"],
        operation_id="put_scene",
        summary="Store a scene",
        responses=errors(
            fault.InvalidRequest, fault.UnsupportedMediaType, fault.TooLarge, fault.StorageFailed, fault.Conflict
        ),
    )
    async def put_scene(scene: FromPath[str], data: JSONBody[SceneBody]) -> Scene:
        """Creates the scene, or replaces the one of this id."""
        kept = Scene(id=scene, text=data.text, cast=data.cast, defaults=data.defaults)
        return await asyncio.to_thread(hub.scenes.put, kept)

    @delete(
        "/v1/scenes/{scene:str}",
        tags=["scenes"],
        operation_id="delete_scene",
        summary="Delete a scene",
        responses=errors(fault.InvalidRequest, fault.UnknownScene, fault.Conflict, fault.StorageFailed),
    )
    async def delete_scene(scene: FromPath[str]) -> None:
        """Deletes a stored scene. Scenes of the configured folders and of plugins cannot be deleted."""
        await asyncio.to_thread(hub.scenes.delete, scene)

    return [put_scene, delete_scene]
