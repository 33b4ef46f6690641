"""/v1/tasks: create, list, follow, cancel and delete long jobs. `task_result` serves their results."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast
from urllib.parse import quote

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.openapi.spec import OpenAPIResponse, Operation, RequestBody
from litestar.params import FromQuery, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct

from hub.api.http import sse
from hub.api.http.departure import closing
from hub.api.http.negotiate import JSON, HubResponse
from hub.api.http.openapi import errors, example
from hub.api.routes import task_result
from hub.api.routes.task_result import TaskId
from hub.contract import errors as fault
from hub.contract.errors import HubError
from hub.contract.task import Task, TaskState
from hub.plugin.tasks import TaskKind

if TYPE_CHECKING:
    from hub.service.hub import Hub


class TaskPage(Struct, kw_only=True):
    """Tasks, newest first. Their `result` has only the number of items."""

    tasks: list[Task]
    next: Annotated[str | None, Meta(description="`before` of the next page; null: this is the last page")] = None


EXAMPLES = (
    example("A text of any length", text="It was a dark night. It was a long one, too.", id="night-1"),
    example("Chapters", chapters=[{"title": "One", "text": "It began."}, {"title": "Two", "text": "It ended."}]),
    example("A batch", items=[{"text": "Yes."}, {"text": "No."}]),
)


@dataclass
class AcceptOperation(Operation):
    """The documentation of a route that accepts tasks."""

    def __post_init__(self) -> None:
        assert self.responses is not None
        created = cast(OpenAPIResponse, self.responses["201"])
        self.responses["200"] = OpenAPIResponse(
            description="The task that was already accepted under this id", content=created.content
        )
        body = cast(RequestBody, self.request_body)
        if (self.operation_id or "") == "createSpeechTask":
            body.content[JSON].examples = {str(shown.summary): shown for shown in EXAMPLES}


@dataclass
class EventsOperation(Operation):
    """The documentation of the events."""

    def __post_init__(self) -> None:
        assert self.responses is not None
        content = sse.documented("`event` is progress, end or error; `data` is the task, or the error, as JSON")
        self.responses["200"] = OpenAPIResponse(description="Server-sent events", content=content)


def routes(hub: Hub) -> list[ControllerRouterHandler]:
    """Return the handlers."""
    accepting = [_accepting(hub, kind) for kind in hub.tasks.kinds.values()]
    return [*_reading(hub), _watching(hub), *task_result.routes(hub), *_ending(hub), *accepting]


def _reading(hub: Hub) -> list[ControllerRouterHandler]:
    @get(
        "/v1/tasks",
        tags=["tasks"],
        summary="List tasks, newest first",
        operation_id="listTasks",
        responses=errors(fault.InvalidRequest, fault.StorageFailed),
    )
    async def list_tasks(
        wanted: Annotated[TaskState | None, QueryParameter(name="state")] = None,
        kind: FromQuery[str | None] = None,
        before: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=500)] = 50,
    ) -> TaskPage:
        """Returns a page of tasks; with API keys, only those of the caller's own key."""
        tasks = await hub.tasks.page(state=wanted, kind=kind, before=before, limit=limit + 1)
        more = len(tasks) > limit
        return TaskPage(tasks=tasks[:limit], next=tasks[limit - 1].id if more else None)

    @get(
        "/v1/tasks/{task_id:str}",
        tags=["tasks"],
        summary="Get a task: its state, progress and result",
        operation_id="getTask",
        responses=errors(fault.NotFound, fault.StorageFailed),
    )
    async def get_task(task_id: TaskId) -> Task:
        """Returns the task. While it is held up, `error` says why."""
        return await hub.tasks.get(task_id)

    return [list_tasks, get_task]


def _watching(hub: Hub) -> ControllerRouterHandler:
    @get(
        "/v1/tasks/{task_id:str}/events",
        tags=["tasks"],
        summary="Follow a task, as server-sent events",
        operation_id="watchTask",
        operation_class=EventsOperation,
        responses=errors(fault.NotFound, fault.StorageFailed),
    )
    async def watch_task(task_id: TaskId, request: Request) -> Response:  # type: ignore[type-arg]
        """Sends `progress` with the task, at once and whenever it changes, and `end` when it has ended.

        With `Last-Event-ID`, nothing is sent until there is a newer event.
        """
        await hub.tasks.get(task_id)
        parts = sse.with_pings(events(hub, task_id, request.headers.get("last-event-id", "")))
        return Stream(closing(parts), media_type=sse.MEDIA_TYPE, headers=sse.HEADERS)

    return watch_task


def _ending(hub: Hub) -> list[ControllerRouterHandler]:
    @post(
        "/v1/tasks/{task_id:str}/cancel",
        status_code=200,
        tags=["tasks"],
        summary="Cancel a task",
        operation_id="cancelTask",
        responses=errors(fault.NotFound, fault.Conflict, fault.StorageFailed),
    )
    async def cancel_task(task_id: TaskId) -> Task:
        """Stops the task at once. 409 if it has already completed or failed."""
        return await hub.tasks.cancel(task_id)

    @delete(
        "/v1/tasks/{task_id:str}",
        tags=["tasks"],
        summary="Delete a task and its result",
        operation_id="deleteTask",
        responses=errors(fault.NotFound, fault.StorageFailed),
    )
    async def delete_task(task_id: TaskId) -> None:
        """Deletes the task; an unfinished one is cancelled first."""
        await hub.tasks.delete(task_id)

    return [cancel_task, delete_task]


def _accepting(hub: Hub, kind: TaskKind) -> ControllerRouterHandler:
    async def accept(data: Any) -> Response[Task]:
        """An `id` of your own makes the request repeatable: the same body is the same task, another body a 409."""
        task, new = await hub.tasks.submit(kind.name, data)
        headers = {"Location": f"/v1/tasks/{quote(task.id, safe='')}"}
        return HubResponse(task, status_code=201 if new else 200, headers=headers)

    body: Any = JSONBody
    accept.__annotations__ = {"data": body[kind.body], "return": Response[Task]}
    return post(
        f"/v1/tasks/{kind.name}",
        status_code=201,
        tags=["tasks"],
        summary=f"Create a {kind.name} task",
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
    """Yield the events of a task, without the one whose id the reader has already `seen`."""
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
