"""/v1/scenes: where and how something is said, and by whom."""

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
    """A scene; everything may be left out."""

    text: Annotated[str, Meta(description="the scene, for models that read one", examples=["A quiet room."])] = ""
    cast: Annotated[dict[str, str], Meta(description="speaker tag -> voice id")] = {}
    defaults: Annotated[
        dict[str, Any], Meta(description="fields of a request (speed, gap, ...) that hold where it says nothing")
    ] = {}


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """The handlers."""

    @get(
        "/v1/scenes",
        tags=["scenes"],
        operation_id="list_scenes",
        summary="All scenes",
        responses=errors(fault.InvalidRequest, fault.StorageFailed),
    )
    async def list_scenes() -> Scenes:
        """Stored ones, those of the configured folders, and those of plugins."""
        return Scenes(scenes=[*await asyncio.to_thread(hub.scenes.list)])

    @get(
        "/v1/scenes/{scene:str}",
        tags=["scenes"],
        operation_id="get_scene",
        summary="One scene",
        responses=errors(fault.InvalidRequest, fault.UnknownScene, fault.StorageFailed),
    )
    async def get_scene(scene: FromPath[str]) -> Scene:
        """As it is now: a file that was changed by hand counts at once."""
        return await asyncio.to_thread(hub.scenes.get, scene)

    @put(
        "/v1/scenes/{scene:str}",
        tags=["scenes"],
        operation_id="put_scene",
        summary="Keep a scene",
        responses=errors(
            fault.InvalidRequest, fault.UnsupportedMediaType, fault.TooLarge, fault.StorageFailed, fault.Conflict
        ),
    )
    async def put_scene(scene: FromPath[str], data: JSONBody[SceneBody]) -> Scene:
        """Makes it, or replaces the one that there is."""
        kept = Scene(id=scene, text=data.text, cast=data.cast, defaults=data.defaults)
        return await asyncio.to_thread(hub.scenes.put, kept)

    @delete(
        "/v1/scenes/{scene:str}",
        tags=["scenes"],
        operation_id="delete_scene",
        summary="Remove a scene",
        responses=errors(fault.InvalidRequest, fault.UnknownScene, fault.Conflict, fault.StorageFailed),
    )
    async def delete_scene(scene: FromPath[str]) -> None:
        """Only a stored one; those of the configured folders and of plugins are not the hub's to remove."""
        await asyncio.to_thread(hub.scenes.delete, scene)

    return [list_scenes, get_scene, put_scene, delete_scene]
