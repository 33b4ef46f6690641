"""Tasks: long jobs that are accepted once, run in the background, and survive the end of the process.

A task is in the database before its caller gets an answer. A task that was pending or processing when the hub ended
runs again when a hub starts. If storage fails (a full disk), a task waits and goes on when there is space.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from hub.contract.caller import Caller, current_caller
from hub.contract.errors import Busy, Conflict, HubError, InternalError, NotFound, StorageFailed, Unavailable
from hub.contract.task import Task
from hub.plugin.host import Host
from hub.plugin.tasks import TaskKind
from hub.service.disk.folder import storing, sweep
from hub.service.tasks.claim import Claim
from hub.service.tasks.store import Accepted, Exists, Store, sqlite_url
from hub.service.tasks.work import Work, discard
from hub.settings import TaskSettings

log = logging.getLogger("hub.tasks")

STORAGE_PAUSE = 2.0
"""Seconds between attempts to open the database or to store a step."""

LONGEST_SLEEP = 3600.0


class Tasks:
    """The tasks of a hub. The database is opened, and created on the disk, with the first call about a task.

    With API keys, a caller sees only the tasks of its own key. Every method may raise StorageFailed, and Unavailable
    if another process works on the tasks of this folder.
    """

    def __init__(
        self,
        hub: Host,
        kinds: Mapping[str, TaskKind],
        settings: TaskSettings,
        *,
        folder: Path,
        database: str = "",
    ) -> None:
        self.kinds = kinds
        self.folder = folder
        self.caller_of: Callable[[str], Caller | None] = lambda name: None  # finds the API key to charge, by name
        self._hub = hub
        self._settings = settings
        self._database = database
        self._store: Store | None = None
        self._claim: Claim | None = None
        self._opening = asyncio.Lock()
        self._queue: deque[str] = deque()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._notes: dict[str, HubError] = {}  # id -> the reason why a task waits
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._opener: asyncio.Task[None] | None = None
        self._janitor: asyncio.Task[None] | None = None
        self._finished = asyncio.Event()
        self._stopping = False

    async def start(self) -> None:
        """Resume unfinished tasks. If the database cannot be opened, log the error and try again later."""
        if not self._database and not (self.folder / "tasks.db").exists():
            return
        try:
            await self._opened()
        except HubError as error:
            log.error("tasks wait: %s", error.message)
            self._opener = asyncio.create_task(self._open_later(), name="tasks: open")

    async def _open_later(self) -> None:
        while self._store is None:
            await asyncio.sleep(STORAGE_PAUSE)
            with suppress(HubError):
                await self._opened()

    async def stop(self) -> None:
        """Stop the tasks under way; they resume at the next start."""
        self._stopping = True
        if self._opener is not None:
            self._opener.cancel()
            await asyncio.wait([self._opener])
        async with self._opening:
            at_work = [*self._running.values(), *filter(None, [self._janitor])]
            for task in at_work:
                task.cancel()
            await asyncio.gather(*at_work, return_exceptions=True)
            if self._store is not None:
                await self._store.close()
            if self._claim is not None:
                self._claim.release()
            self._store = self._claim = self._janitor = None
        for events in self._watchers.values():
            for event in events:
                event.set()

    async def submit(self, kind: str, body: Any) -> tuple[Task, bool]:
        """Accept a task; return it, and True if it is new.

        If a task of the body's `id` exists and has the same body, return that task; raise Conflict if its body differs.
        Raises Busy if too many tasks are unfinished, and the errors of the kind's `accept`.
        """
        owner = _caller_name()
        id = getattr(body, "id", None) or f"task_{secrets.token_hex(12)}"
        digest = await asyncio.to_thread(_digest, kind, body)
        store = await self._opened()
        if (known := await self._known(store, id, digest, owner)) is not None:
            return known, False
        if len(self._queue) + len(self._running) >= self._settings.queue:
            raise Busy(
                f"{self._settings.queue} tasks are unfinished, the limit (tasks.queue); try again later",
                retry_after=30.0,
            )
        job = await self.kinds[kind].accept(self._hub, body)
        accepted = Accepted(
            id=id, kind=kind, digest=digest, owner=owner, job=job.data, steps=job.steps, created=time.time()
        )
        try:
            await store.add(accepted)
        except Exists:  # the same id was sent twice at once
            known = await self._known(store, id, digest, owner)
            assert known is not None
            return known, False
        self._queue.append(id)
        self._fill()
        return await self.get(id), True

    async def _known(self, store: Store, id: str, digest: str, owner: str) -> Task | None:
        identity = await store.identity(id)
        if identity is None:
            return None
        if identity != (digest, owner):
            raise Conflict(f"there is already another task {id!r}; choose another id, or delete that task", id=id)
        task = await store.get(id)
        return task and self._noted(task)

    async def get(self, id: str) -> Task:
        """Return the current state of a task; while it waits, its `error` says why. Raises NotFound."""
        store = await self._opened()
        identity, task = await store.identity(id), await store.get(id)
        caller = _caller_name()
        if task is None or identity is None or (caller and identity[1] != caller) or _is_over(task):
            raise NotFound(f"there is no task {id[:100]!r}; it may have expired")
        return self._noted(task)

    async def page(
        self, *, state: str | None = None, kind: str | None = None, before: str | None = None, limit: int = 50
    ) -> list[Task]:
        """Return the caller's tasks without items, newest first; with `before`, only those older than that task."""
        store = await self._opened()
        owner = _caller_name() or None
        found = await store.page(owner=owner, state=state, kind=kind, before=before, limit=limit)
        return [_brief(self._noted(task)) for task in found if not _is_over(task)]

    async def cancel(self, id: str) -> Task:
        """Stop a task at once, even in the middle of a word. Raises NotFound, Conflict if it has ended otherwise."""
        task = await self.get(id)
        store = await self._opened()
        if await self._end(store, id, "cancelled"):
            await self._halt(id)
            await self._discard(id)
        task = await self.get(id)
        if task.state != "cancelled":
            raise Conflict(f"task {id!r} is {task.state}: there is nothing to cancel", id=id, state=task.state)
        return task

    async def delete(self, id: str) -> None:
        """Delete a task and its result, after cancelling it if it is unfinished. Raises NotFound."""
        await self.get(id)
        store = await self._opened()
        await self._end(store, id, "cancelled")
        await self._halt(id)
        await self._forget(store, id)

    async def watch(self, id: str) -> AsyncGenerator[Task, None]:
        """Yield the task now and after each change, until it has ended or the hub stops. Raises NotFound."""
        changed = asyncio.Event()
        self._watchers[id].add(changed)
        try:
            last: Task | None = None
            while not self._stopping:
                changed.clear()
                task = await self.get(id)
                if task != last:
                    yield (last := task)
                if task.finished is not None:
                    return
                await changed.wait()
        finally:
            self._watchers[id].discard(changed)
            if not self._watchers[id]:
                del self._watchers[id]

    def folder_of(self, id: str) -> Path:
        """Return the task's folder, named by a hash, because a file system may not distinguish two ids."""
        return self.folder / hashlib.sha256(id.encode()).hexdigest()[:32]

    async def _opened(self) -> Store:
        async with self._opening:
            if self._store is None:
                if self._stopping:
                    raise Unavailable("the hub is stopping; try again soon", retry_after=5.0)
                self._store = await self._open()
            return self._store

    async def _open(self) -> Store:
        with storing("the tasks"):
            claim = Claim(self.folder)
        store: Store | None = None
        try:
            with storing("the tasks"):
                store = Store(self._database or sqlite_url(self.folder / "tasks.db"))
                sweep(self.folder)
            await store.open()
            self._queue.extend(await store.unfinished())
        except BaseException:
            claim.release()
            if store is not None:
                await store.close()
            raise
        self._claim = claim
        self._janitor = asyncio.create_task(self._clear_expired(store), name="tasks: expiry")
        self._store = store
        self._fill()
        return store

    def _fill(self) -> None:
        """Start queued tasks, up to the limit of concurrent ones."""
        while self._queue and len(self._running) < self._settings.concurrency and not self._stopping:
            id = self._queue.popleft()
            task = asyncio.create_task(self._work(id), name=f"task {id}")
            self._running[id] = task
            task.add_done_callback(lambda _, id=id: self._left(id))  # type: ignore[misc]

    def _left(self, id: str) -> None:
        del self._running[id]
        self._notes.pop(id, None)
        self._fill()

    async def _work(self, id: str) -> None:
        """Run one task to its end; try again as often as its storage fails."""
        while True:
            try:
                return await self._run(id)
            except StorageFailed as error:
                log.warning("task %s waits: %s", id, error.message)
                self.note(id, error)
            await asyncio.sleep(STORAGE_PAUSE)

    async def _run(self, id: str) -> None:
        store = self._store
        assert store is not None
        found = await store.job(id)
        if found is None:
            return
        kind, job, owner = found
        if kind not in self.kinds:
            log.error("task %s stays pending: no plugin has its kind %r", id, kind)
            return
        if not await store.started(id, time.time()):
            return
        current_caller.set(self.caller_of(owner))
        work = Work(
            self._hub,
            store,
            self.folder_of(id),
            id=id,
            job=job,
            changed=lambda: self.changed(id),
            note=lambda reason: self.note(id, reason),
        )
        await asyncio.to_thread(work.prepare)
        self.note(id, None)
        try:
            result = await self.kinds[kind].run(work)
        except StorageFailed:
            raise
        except HubError as error:
            await self._end(store, id, "failed", error=error)
        except Exception:
            log.exception("task %s failed", id)
            unforeseen = InternalError("the hub failed; its log has the cause under the task's id", task=id)
            await self._end(store, id, "failed", error=unforeseen)
        else:
            await self._end(store, id, "completed", result=result)
            await asyncio.to_thread(discard, work.scratch)
            return
        await self._discard(id)

    async def _end(
        self,
        store: Store,
        id: str,
        state: str,
        *,
        error: HubError | None = None,
        result: dict[str, Any] | None = None,
    ) -> bool:
        now = time.time()
        body = {"code": error.code, "message": error.message, "detail": error.detail} if error else None
        expires = now + self._settings.keep_hours * 3600
        done = await store.ended(id, state, now, expires=expires, error=body, result=result)
        if done:
            log.info("task %s: %s%s", id, state, f": {error.message}" if error else "")
        self.changed(id)
        self._finished.set()
        return done

    async def _halt(self, id: str) -> None:
        """Take a task out of the queue or stop it; return when it no longer runs."""
        with suppress(ValueError):
            self._queue.remove(id)
        if (running := self._running.get(id)) is not None:
            running.cancel()
            await asyncio.wait([running])

    async def _discard(self, id: str) -> None:
        """Remove the files of a task without a result; if that fails, expiry removes them."""
        await asyncio.to_thread(discard, self.folder_of(id))

    async def _forget(self, store: Store, id: str) -> None:
        await asyncio.to_thread(discard, self.folder_of(id))  # first: a row that is left can be deleted later
        await store.delete(id)
        self.changed(id)

    async def _clear_expired(self, store: Store) -> None:
        while True:
            self._finished.clear()
            wait = LONGEST_SLEEP
            try:
                over, following = await store.expired(time.time())
                for id in over:
                    await self._forget(store, id)
                if following is not None:
                    wait = min(wait, max(0.0, following - time.time()))
            except StorageFailed as error:
                log.warning("expired tasks are kept for now: %s", error.message)
                wait = STORAGE_PAUSE
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._finished.wait()

    def note(self, id: str, reason: HubError | None) -> None:
        """Remember the reason why a task waits; None: it goes on."""
        if self._notes.get(id) is not reason:
            if reason is None:
                del self._notes[id]
            else:
                self._notes[id] = reason
            self.changed(id)

    def changed(self, id: str) -> None:
        """Wake the watchers of the task."""
        for event in self._watchers.get(id, ()):
            event.set()

    def _noted(self, task: Task) -> Task:
        note = self._notes.get(task.id)
        if note is None or task.finished is not None:
            return task
        return replace(task, error={"code": note.code, "message": note.message, "detail": note.detail})


def _caller_name() -> str:
    caller = current_caller.get()
    return caller.name if caller is not None else ""


def _is_over(task: Task) -> bool:
    return task.expires is not None and task.expires <= time.time()


def _brief(task: Task) -> Task:
    """Return the task with the number of its items instead of their list, which may be long."""
    if task.result is None or not isinstance(task.result.get("items"), list):
        return task
    return replace(task, result={**task.result, "items": len(task.result["items"])})


def _digest(kind: str, body: Any) -> str:
    return hashlib.sha256(kind.encode() + b"\0" + msgspec.json.encode(body, order="deterministic")).hexdigest()
