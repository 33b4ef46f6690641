"""The API's asynchronous tasks: the hub's durable tasks of the kind `fish-speech`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import File

from hub.contract.errors import Conflict, HubError, InvalidRequest, NotFound
from hub.contract.task import Task
from hub.plugin.host import Host
from hub_fish_speech.options import RouteOptions
from hub_fish_speech.routes.answers import answer, error_body, failed, status_of
from hub_fish_speech.routes.shapes import Accepted, Stopped, TaskBody, TaskStatus, read_body
from hub_fish_speech.routes.speech import generate_request, media_type
from hub_fish_speech.tasks import KIND, GenerateTask

PAGE = 200
"""Tasks that are read at a time."""

_MESSAGES = {
    "pending": "Task created and started",
    "processing": "Task is being processed",
    "completed": "Task is completed already",
    "failed": "Task has failed",
    "cancelled": "Task was cancelled",
}


def routes(hub: Host, options: RouteOptions) -> list[HTTPRouteHandler]:
    """The handlers."""
    return [*_working(hub, options), *_stopping(hub)]


def _working(hub: Host, options: RouteOptions) -> list[HTTPRouteHandler]:
    """The routes that begin a task, and return its state and its result."""

    @post("/generate_audio_enhanced_async", status_code=200, summary="Begin a task in the background")
    async def generate(request: Request) -> Response:
        """An accepted task survives a restart of the server. The same `step_id` and body is the same task."""
        body = await read_body(request, TaskBody)
        try:
            task = await _submit(hub, options, body)
        except HubError as error:
            shape = Accepted(success=False, message=error.message, step_id=body.step_id, status="failed")
            return failed(request, error, shape)
        message = _MESSAGES[task.state]
        return answer(request, Accepted(success=True, message=message, step_id=task.id, status=task.state))

    @get("/get_task_status/{step_id:str}", summary="Get the state of a task")
    async def status(step_id: FromPath[str], request: Request) -> Response:
        """404 with the status `not_found` for an unknown one."""
        try:
            task = await _task(hub, step_id)
        except NotFound as error:
            shape = TaskStatus(success=False, step_id=step_id, status="not_found", error=error.message)
            return answer(request, {**error_body(error), **_fields(shape), "error": error.message}, status_of(error))
        return answer(request, _status(task))

    @get("/download_result/{step_id:str}", summary="Get the audio of a task")
    async def download(step_id: FromPath[str]) -> File:
        """400 until it is completed."""
        task = await _task(hub, step_id)
        if task.state != "completed":
            raise InvalidRequest(f"Task {step_id} is not completed: it is {task.state}", status=task.state)
        (item,) = (task.result or {}).get("items", [{}])
        path = hub.tasks.folder_of(task.id) / item.get("file", "-")
        if not await asyncio.to_thread(path.is_file):
            raise NotFound(f"the result of task {step_id} no longer exists")
        return File(path, filename=f"{task.id}{path.suffix}", media_type=media_type(item["container"]))

    return [generate, status, download]


def _stopping(hub: Host) -> list[HTTPRouteHandler]:
    """Stop one task, or all."""

    @post("/stop_async_task/{step_id:str}", status_code=200, summary="Stop a task")
    async def stop(step_id: FromPath[str], request: Request) -> Response:
        """A task that is being processed stops in the middle."""
        try:
            await _task(hub, step_id)
            await hub.tasks.cancel(step_id)
        except (NotFound, Conflict) as error:
            return failed(request, error, Stopped(success=False, message=error.message, step_id=step_id))
        return answer(request, Stopped(success=True, message=f"Task {step_id} stopped", step_id=step_id))

    @post("/stop_generation", status_code=200, summary="Stop all tasks")
    async def stop_all(request: Request) -> Response:
        """Stops the caller's own tasks: with API keys, those of its key."""
        stopped = 0
        for task in [task async for task in _unfinished(hub)]:
            try:
                await hub.tasks.cancel(task.id)
                stopped += 1
            except (NotFound, Conflict):  # it has just ended
                continue
        return answer(request, {"success": True, "message": f"Stopped {stopped} task(s)"})

    return [stop, stop_all]


async def _submit(hub: Host, options: RouteOptions, body: TaskBody) -> Task:
    wanted = generate_request(hub, options, body)
    task, _ = await hub.tasks.submit(KIND, GenerateTask(id=body.step_id, request=wanted, container=body.format))
    return task


async def _task(hub: Host, id: str) -> Task:
    """A task of this kind. Raises NotFound."""
    try:
        task = await hub.tasks.get(id)
    except NotFound:
        raise NotFound(f"Task {id[:200]} not found") from None
    if task.kind != KIND:
        raise NotFound(f"Task {id[:200]} not found")
    return task


async def _unfinished(hub: Host) -> AsyncIterator[Task]:
    """The caller's tasks that have not ended."""
    for state in ("processing", "pending"):
        before = None
        while page := await hub.tasks.page(state=state, kind=KIND, before=before, limit=PAGE):
            for task in page:
                yield task
            before = page[-1].id


def _status(task: Task) -> TaskStatus:
    done = task.state == "completed"
    return TaskStatus(
        success=True,
        step_id=task.id,
        status=task.state,
        created_at=task.created,
        started_at=task.started,
        completed_at=task.finished,
        download_url=f"/download_result/{task.id}" if done else None,
        error=str(task.error["message"]) if task.error else None,
    )


def _fields(shape: TaskStatus) -> dict[str, object]:
    return {name: getattr(shape, name) for name in shape.__struct_fields__}
