"""Tasks: long jobs with durable state."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

TaskState = Literal["pending", "processing", "completed", "failed", "cancelled"]


class TaskProgress(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The progress of a task: `done` of `total` steps, and the seconds of audio so far."""

    done: int = 0
    total: int = 0
    audio: float = 0.0


class Task(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One job, as `/v1/tasks` shows it. Times are seconds since the epoch; `error` is an error body."""

    id: str
    kind: str
    state: TaskState
    progress: TaskProgress = TaskProgress()
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    expires: float | None = None
    error: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
