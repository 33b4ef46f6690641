"""GET /v1/tasks/{task_id}/result: the files that a task has made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from litestar import Response, get
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import PathParameter, QueryParameter
from litestar.response import File, Stream
from litestar.types import ControllerRouterHandler

from hub.api.http.archive import zip_parts
from hub.api.http.departure import closing
from hub.api.http.openapi import AUDIO_TYPES, errors
from hub.contract import errors as fault
from hub.contract.errors import Conflict, NotFound
from hub.contract.task import Task

if TYPE_CHECKING:
    from hub.service.hub import Hub

TaskId = Annotated[str, PathParameter(description="the task's id")]


@dataclass
class ResultOperation(Operation):
    """The documentation of the route."""

    def __post_init__(self) -> None:
        assert self.responses is not None
        binary = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        types = (*AUDIO_TYPES, "application/zip", "application/x-subrip", "text/vtt", "application/octet-stream")
        self.responses["200"] = OpenAPIResponse(description="The file", content=dict.fromkeys(types, binary))


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """Return the handlers."""

    @get(
        "/v1/tasks/{task_id:str}/result",
        tags=["tasks"],
        summary="Get the result of a task",
        operation_id="getTaskResult",
        operation_class=ResultOperation,
        responses=errors(fault.InvalidRequest, fault.NotFound, fault.Conflict, fault.StorageFailed),
    )
    async def get_result(
        task_id: TaskId,
        item: Annotated[int | None, QueryParameter(ge=1, description="which item, from 1; default: all")] = None,
        subtitles: Annotated[Literal["srt", "vtt"] | None, QueryParameter(description="those of the item")] = None,
    ) -> Response:  # type: ignore[type-arg]
        """Returns the file of a task with one item, a ZIP archive of several, or the requested file.

        409 until the task is completed.
        """
        task = await hub.tasks.get(task_id)
        items = _items(task)
        folder = hub.tasks.folder_of(task_id)
        if item is None and len(items) > 1 and subtitles is None:
            files = [folder / name for one in items for name in _names(one)]
            headers = {"Content-Disposition": f'attachment; filename="{task_id}.zip"'}
            return Stream(closing(zip_parts(files)), media_type="application/zip", headers=headers)
        chosen = _item(items, item or 1)
        if subtitles is None:
            return _file(folder / chosen["file"], chosen.get("media_type", "application/octet-stream"), task_id)
        name = next((name for name in chosen.get("subtitles", ()) if name.endswith(f".{subtitles}")), None)
        if name is None:
            raise NotFound("this task has no subtitles; set `subtitles` when you create it")
        return _file(folder / name, "text/vtt" if subtitles == "vtt" else "application/x-subrip", task_id)

    return [get_result]


def _items(task: Task) -> list[dict[str, Any]]:
    """Return the items of a completed task. Raises Conflict, NotFound."""
    if task.state != "completed":
        raise Conflict(f"task {task.id!r} is {task.state}: it has no result", id=task.id, state=task.state)
    items = (task.result or {}).get("items")
    if not isinstance(items, list):
        raise NotFound(f"a {task.kind} task has no file to fetch; its result is in GET /v1/tasks/{task.id}")
    return items


def _item(items: list[dict[str, Any]], number: int) -> dict[str, Any]:
    """Return an item by its number, from 1. Raises NotFound if there is none, or if it has failed."""
    if number > len(items):
        raise NotFound(f"there is no item {number}: the task has {len(items)}", items=len(items))
    if "file" not in items[number - 1]:
        raise NotFound(f"item {number} has failed; the task's result says why", error=items[number - 1]["error"])
    return items[number - 1]


def _names(item: dict[str, Any]) -> list[str]:
    return [item["file"], *item.get("subtitles", ())] if "file" in item else []


def _file(path: Path, media_type: str, task_id: str) -> File:
    if not path.is_file():
        raise NotFound("the result no longer exists")
    return File(path, filename=f"{task_id}-{path.name}", media_type=media_type)
