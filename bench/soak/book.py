"""`Book`: the outcome of each request, and whether anything explains it."""

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
"""Outcomes of a request whose worker was killed while it waited or was spoken."""

REFUSED = {"queue_full", "deadline_exceeded"}
"""Outcomes of a request to a crowded model."""


class Book:
    """Counts by kind of request and outcome. `wrong` has a line for each outcome that nothing explains."""

    def __init__(self, crowded: Iterable[str]) -> None:
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self.wrong: list[str] = []
        self.deaths: list[float] = []  # when the hub was killed
        self.births: list[float] = []  # when the hub was ready again
        self._kills: dict[str, list[float]] = defaultdict(list)
        self._crowded = set(crowded)

    def killed(self, model: str) -> None:
        """Record that a worker of `model` is being killed."""
        self._kills[model].append(time.monotonic())

    @property
    def kills(self) -> Counter[str]:
        """Worker kills by model."""
        return Counter({model: len(times) for model, times in self._kills.items()})

    def count(self, kind: str, outcome: str) -> None:
        """Record a request that ended as expected."""
        self.outcomes[kind][outcome] += 1

    def fail(self, kind: str, what: str) -> None:
        """Record a request whose outcome nothing explains."""
        self.outcomes[kind]["WRONG"] += 1
        self.wrong.append(f"{kind}: {what}")
        print(f"{time.strftime('%X')} WRONG {kind}: {what}", file=sys.stderr, flush=True)

    def settle(self, kind: str, model: str, began: float, code: str, what: str) -> None:
        """Record an error `code` of a request to `model` that began at `began`, as explained or not."""
        if self.hub_was_down(began):
            self.count(kind, "hub killed")
        elif self._explained(model, began, code):
            self.count(kind, code)
        else:
            self.fail(kind, f"{code} from model {model!r}: {what}")

    def hub_was_down(self, since: float) -> bool:
        """Return True if the hub was down at any moment since `since`."""
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
