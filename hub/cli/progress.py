"""`Progress`: a bar on stderr, by the characters spoken where they are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from hub.cli.answer import Answer


class Progress:
    """A context manager that shows a bar if `shown`."""

    def __init__(self, chars: int, *, shown: bool) -> None:
        self._chars = chars
        self._bar: Any = None
        if shown:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("speaking"),
                BarColumn(),
                TextColumn("{task.fields[audio]}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task("", total=None, audio="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, answer: Answer) -> None:
        """Show how far `answer` has come."""
        if self._bar is None:
            return
        audio = "" if answer.seconds is None else f"{answer.seconds:.0f} s of audio"
        if answer.spoken is None:
            self._bar.update(self._task, audio=audio)
        else:
            self._bar.update(self._task, audio=audio, total=self._chars, completed=min(answer.spoken, self._chars))
