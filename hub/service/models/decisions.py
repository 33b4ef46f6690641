"""Decisions: a short history of what residency did with the models, and why."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

log = logging.getLogger("hub.models")

Action = Literal["load", "ready", "measured", "failed", "wait", "refuse", "evict", "unload", "crash"]
"""`wait`: no room yet; `refuse`: no room in time, or none without evicting; `crash`: the worker died."""

KEPT = 200
"""Decisions that a hub remembers."""


class Decision(Struct, kw_only=True, frozen=True):
    """One decision about one model.

    `time` is seconds since the epoch; `before` and `after` are the bytes that were counted for all models of `device`.
    """

    time: float
    model: str
    action: Action
    why: str
    device: str
    before: int
    after: int


class Decisions:
    """The last decisions, oldest first."""

    def __init__(self) -> None:
        self._kept: deque[Decision] = deque(maxlen=KEPT)

    def __iter__(self) -> Iterator[Decision]:
        return iter(self._kept)

    def note(self, model: str, action: Action, why: str, device: str, before: int, after: int) -> None:
        """Keep a decision, and log it."""
        decision = Decision(
            time=time.time(), model=model, action=action, why=why, device=device, before=before, after=after
        )
        self._kept.append(decision)
        log.info("model %s: %s (%s)", model, action, why)

    def of(self, model: str) -> list[Decision]:
        """The decisions about one model, oldest first."""
        return [decision for decision in self._kept if decision.model == model]
