"""/v1/tasks: long jobs. POST accepts one, GET shows, watches and fetches it, POST .../cancel stops it."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast
from urllib.parse import quote

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIResponse, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from litestar.params import FromQuery, JSONBody, PathParameter, QueryParameter
from litestar.response import File, Stream
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct

from hub.api.http import sse
from hub.api.http.negotiate import JSON, HubResponse
from hub.api.http.openapi import AUDIO_TYPES, errors, example
from hub.contract import errors as fault
from hub.contract.errors import Conflict, HubError, NotFound
from hub.contract.task import Task, TaskState
from hub.plugin.tasks import TaskKind

if TYPE_CHECKING:
    from hub.service.hub import Hub

PART = 256 * 1024
"""Bytes of an archive that are read at once."""

TaskId = Annotated[str, PathParameter(description="the task's id")]


class TaskPage(Struct, kw_only=True):
    """Tasks, the newest first. Their `result` tells how many items there are, not each."""

    tasks: list[Task]
    next: Annotated[str | None, Meta(description="`before` of the next page; null: there is none")] = None


@dataclass
class AcceptOperation(Operation):
    """How a route that accepts tasks is documented."""

    def __post_init__(self) -> None:
        assert self.responses is not None
        created = cast(OpenAPIResponse, self.responses["201"])
        self.responses["200"] = OpenAPIResponse(
            description="The task that was accepted before under this id", content=created.content
        )
        body = cast(RequestBody, self.request_body)
        if (self.operation_id or "") == "createSpeechTask":
            body.content[JSON].examples = {str(shown.summary): shown for shown in EXAMPLES}


EXAMPLES = (
    example("A text of any length", text="It was a dark night. It was a long one, too.", id="night-1"),
    example("Chapters", chapters=[{"title": "One", "text": "It began."}, {"title": "Two", "text": "It ended."}]),
    example("A batch", items=[{"text": "Yes."}, {"text": "No."}]),
)


@dataclass
class EventsOperation(Operation):
    """How the route with the events is documented."""

    def __post_init__(self) -> None:
        assert self.responses is not None
        content = sse.documented("`event` is progress, end or error; `data` is the task, or the error, as JSON")
        self.responses["200"] = OpenAPIResponse(description="Server-sent events", content=content)


@dataclass
class ResultOperation(Operation):
    """How the route with the result is documented."""

    def __post_init__(self) -> None:
        assert self.responses is not None
        binary = OpenAPIMediaType(schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY))
        types = (*AUDIO_TYPES, "application/zip", "application/x-subrip", "text/vtt", "application/octet-stream")
        self.responses["200"] = OpenAPIResponse(description="The file", content=dict.fromkeys(types, binary))


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """The handlers."""

    @get(
        "/v1/tasks",
        tags=["tasks"],
        summary="Tasks, the newest first",
        operation_id="listTasks",
        responses=errors(fault.InvalidRequest, fault.StorageFailed),
    )
    async def list_tasks(
        wanted: Annotated[TaskState | None, QueryParameter(name="state")] = None,
        kind: FromQuery[str | None] = None,
        before: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> TaskPage:
        """With API keys, those of the caller's own key."""
        tasks = await hub.tasks.page(state=wanted, kind=kind, before=before, limit=limit + 1)
        more = len(tasks) > limit
        return TaskPage(tasks=tasks[:limit], next=tasks[limit - 1].id if more else None)

    @get(
        "/v1/tasks/{task_id:str}",
        tags=["tasks"],
        summary="A task: its state, progress and result",
        operation_id="getTask",
        responses=errors(fault.NotFound, fault.StorageFailed),
    )
    async def get_task(task_id: TaskId) -> Task:
        """While a task is held up, `error` says why."""
        return await hub.tasks.get(task_id)

    @get(
        "/v1/tasks/{task_id:str}/events",
        tags=["tasks"],
        summary="Follow a task, as server-sent events",
        operation_id="watchTask",
        operation_class=EventsOperation,
        responses=errors(fault.NotFound, fault.StorageFailed),
    )
    async def watch_task(task_id: TaskId, request: Request) -> Response:  # type: ignore[type-arg]
        """`progress` with the task, at once and whenever it changes, and `end` when it has ended.

        With `Last-Event-ID`, nothing is sent until there is something newer.
        """
        await hub.tasks.get(task_id)
        parts = sse.with_pings(events(hub, task_id, request.headers.get("last-event-id", "")))
        return Stream(_closing(parts), media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)

    @get(
        "/v1/tasks/{task_id:str}/result",
        tags=["tasks"],
        summary="Fetch what a task has made",
        operation_id="getTaskResult",
        operation_class=ResultOperation,
        responses=errors(fault.InvalidRequest, fault.NotFound, fault.Conflict, fault.StorageFailed),
    )
    async def get_result(
        task_id: TaskId,
        item: Annotated[int | None, QueryParameter(ge=1, description="which item, from 1; default: all")] = None,
        subtitles: Annotated[Literal["srt", "vtt"] | None, QueryParameter(description="those of the item")] = None,
    ) -> Response:  # type: ignore[type-arg]
        """The file of a task with one item, a ZIP archive of more, or what is asked for. 409 before it is completed."""
        task = await hub.tasks.get(task_id)
        items = _items(task)
        folder = hub.tasks.folder_of(task_id)
        if item is None and len(items) > 1 and subtitles is None:
            files = [folder / name for one in items for name in _names(one)]
            headers = {"Content-Disposition": _attachment(f"{task_id}.zip")}
            return Stream(_closing(_archive(files)), media_type="application/zip", headers=headers)
        chosen = _item(items, item or 1)
        if subtitles is None:
            return _file(folder / chosen["file"], chosen.get("media_type", "application/octet-stream"), task_id)
        name = next((name for name in chosen.get("subtitles", ()) if name.endswith(f".{subtitles}")), None)
        if name is None:
            raise NotFound("this task was not asked for subtitles; set `subtitles` when you create it")
        return _file(folder / name, "text/vtt" if subtitles == "vtt" else "application/x-subrip", task_id)

    @post(
        "/v1/tasks/{task_id:str}/cancel",
        status_code=200,
        tags=["tasks"],
        summary="Stop a task",
        operation_id="cancelTask",
        responses=errors(fault.NotFound, fault.Conflict, fault.StorageFailed),
    )
    async def cancel_task(task_id: TaskId) -> Task:
        """What it speaks is stopped at once. A task that has ended otherwise is a conflict."""
        return await hub.tasks.cancel(task_id)

    @delete(
        "/v1/tasks/{task_id:str}",
        tags=["tasks"],
        summary="Forget a task and its result",
        operation_id="deleteTask",
        responses=errors(fault.NotFound, fault.StorageFailed),
    )
    async def delete_task(task_id: TaskId) -> None:
        """An unfinished task is cancelled first."""
        await hub.tasks.delete(task_id)

    accepting = [_accept_route(hub, kind) for kind in hub.tasks.kinds.values()]
    return [list_tasks, get_task, watch_task, get_result, cancel_task, delete_task, *accepting]


def _accept_route(hub: Hub, kind: TaskKind) -> ControllerRouterHandler:
    async def accept(data: Any) -> Response[Task]:
        """With an `id` of yours, sending it again is safe: the same body is the same task, another body a conflict."""
        task, new = await hub.tasks.submit(kind.name, data)
        headers = {"Location": f"/v1/tasks/{quote(task.id, safe='')}"}
        return HubResponse(task, status_code=201 if new else 200, headers=headers)

    body: Any = JSONBody
    accept.__annotations__ = {"data": body[kind.body], "return": Response[Task]}
    return post(
        f"/v1/tasks/{kind.name}",
        status_code=201,
        tags=["tasks"],
        summary=f"Begin a {kind.name} task",
        operation_id=f"create{kind.name.title().replace('-', '')}Task",
        operation_class=AcceptOperation,
        responses=errors(
            fault.InvalidRequest,
            fault.UnknownModel,
            fault.Conflict,
            fault.TooLarge,
            fault.UnsupportedMediaType,
            fault.Busy,
            fault.Unavailable,
            fault.StorageFailed,
        ),
    )(accept)


async def events(hub: Hub, task_id: str, seen: str) -> AsyncGenerator[bytes, None]:
    """The events of a task; what the reader has `seen` already, by its id, is left out."""
    try:
        async with aclosing(hub.tasks.watch(task_id)) as changes:
            async for task in changes:
                name = "end" if task.finished is not None else "progress"
                number = f"{task.state}-{task.progress.done}"
                if number != seen or name == "end":
                    yield sse.server_event(msgspec.json.encode(task), event=name, id=number)
                seen = ""
    except HubError as error:  # it was deleted, or its storage failed
        yield sse.server_event(msgspec.json.encode(error.to_fault()), event="error")


async def _closing(parts: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(parts):
        async for part in parts:
            yield part


def _items(task: Task) -> list[dict[str, Any]]:
    if task.state != "completed":
        raise Conflict(f"task {task.id!r} is {task.state}: it has no result", id=task.id, state=task.state)
    items = (task.result or {}).get("items")
    if not isinstance(items, list):
        raise NotFound(f"a {task.kind} task has no file to fetch; its result is in GET /v1/tasks/{task.id}")
    return items


def _item(items: list[dict[str, Any]], number: int) -> dict[str, Any]:
    if number > len(items):
        raise NotFound(f"there is no item {number}; there are {len(items)}", items=len(items))
    if "file" not in items[number - 1]:
        raise NotFound(f"item {number} has failed; the task's result says why", error=items[number - 1]["error"])
    return items[number - 1]


def _names(item: dict[str, Any]) -> list[str]:
    return [item["file"], *item.get("subtitles", ())] if "file" in item else []


def _file(path: Path, media_type: str, task_id: str) -> File:
    if not path.is_file():
        raise NotFound("the result is not there any more")
    return File(path, filename=f"{task_id}-{path.name}", media_type=media_type)


def _attachment(name: str) -> str:
    return f'attachment; filename="{name}"'


async def _archive(files: list[Path]) -> AsyncGenerator[bytes, None]:
    parts = _zip(files)
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        yield part


def _zip(files: list[Path]) -> Iterator[bytes]:
    """`files` in a ZIP archive that is made while it is sent: audio is not packed any further."""
    sent = _Sent()
    with zipfile.ZipFile(cast(Any, sent), "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.name)  # without a date: the same archive each time
            with open(file, "rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while part := source.read(PART):
                    target.write(part)
                    yield sent.take()
    yield sent.take()


class _Sent:
    """A file that can only be written: zipfile then needs no way back."""

    def __init__(self) -> None:
        self._held = io.BytesIO()

    def write(self, data: bytes) -> int:
        return self._held.write(data)

    def flush(self) -> None: ...

    def take(self) -> bytes:
        data = self._held.getvalue()
        self._held = io.BytesIO()
        return data
