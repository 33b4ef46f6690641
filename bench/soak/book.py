"""Book: what became of each request, and whether something explains it."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable

NOTICE = 3.0
"""Seconds within which the hub must have noticed that a worker was killed."""

BREAKER = 15.0
"""Seconds after a kill for which a model may refuse to start another worker."""

KILLED = {"backend_crashed", "worker_start_failed", "connection broken"}
"""What a request may meet whose worker was killed while it waited or was spoken."""

REFUSED = {"queue_full", "deadline_exceeded"}
"""What a request to a crowded model may meet."""


class Book:
    """Counts by kind of request and outcome. `wrong` holds a line for each answer that nothing explains."""

    def __init__(self, crowded: Iterable[str]) -> None:
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self.wrong: list[str] = []
        self.deaths: list[float] = []  # of the hub: when it was killed
        self.births: list[float] = []  # of the hub: when it was up again
        self._kills: dict[str, list[float]] = defaultdict(list)
        self._crowded = set(crowded)

    def killed(self, model: str) -> None:
        """A worker of `model` is being killed."""
        self._kills[model].append(time.monotonic())

    @property
    def kills(self) -> Counter[str]:
        """Worker kills by model."""
        return Counter({model: len(times) for model, times in self._kills.items()})

    def count(self, kind: str, outcome: str) -> None:
        """A request ended as it should."""
        self.outcomes[kind][outcome] += 1

    def fail(self, kind: str, what: str) -> None:
        """A request ended as nothing explains."""
        self.outcomes[kind]["WRONG"] += 1
        self.wrong.append(f"{kind}: {what}")
        print(f"{time.strftime('%X')} WRONG {kind}: {what}", file=sys.stderr, flush=True)

    def settle(self, kind: str, model: str, began: float, code: str, what: str) -> None:
        """A request to `model`, `began` then, ended now with an error: is there a reason for this `code`?"""
        if self.hub_was_down(began):
            self.count(kind, "hub killed")
        elif self._explained(model, began, code):
            self.count(kind, code)
        else:
            self.fail(kind, f"{code} from model {model!r}: {what}")

    def hub_was_down(self, since: float) -> bool:
        """Whether the hub was dead at any moment from `since` to now."""
        if len(self.births) < len(self.deaths):
            return True
        return any(birth >= since for birth in self.births[: len(self.deaths)])

    def _explained(self, model: str, began: float, code: str) -> bool:
        if code in KILLED:
            return self._was_killed(model, began - NOTICE)
        if code == "backend_unavailable":
            return self._was_killed(model, began - BREAKER)
        return code in REFUSED and model in self._crowded

    def _was_killed(self, model: str, since: float) -> bool:
        return any(when >= since for when in self._kills[model])
