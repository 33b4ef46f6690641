"""`Bars`: the progress of tasks on stderr, a row for each; without a terminal, a line when a task has ended."""

from __future__ import annotations

import sys
from typing import Any, Self

import click

from hub.contract.task import Task


class Bars:
    """A context manager that shows the progress of tasks."""

    def __init__(self) -> None:
        self._rows: dict[str, Any] = {}
        self._bars: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def show(self, name: str, task: Task) -> None:
        """Show the progress of `task` in the row `name`."""
        note = task.state if task.error is None else f"{task.state}: {task.error.get('message', '')}"
        if self._bars is None:
            if task.finished is not None:
                click.echo(f"{name}: {note}", err=True)
            return
        from rich.markup import escape

        if name not in self._rows:
            self._rows[name] = self._bars.add_task(escape(name), total=None, note="")
        done, total = task.progress.done, task.progress.total
        self._bars.update(self._rows[name], total=total or None, completed=done, note=escape(note))
