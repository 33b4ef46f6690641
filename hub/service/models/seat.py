"""Seat: whether one model is loaded, and the memory that it takes or will need."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

from hub.engine.base import Engine
from hub.service.disk.sizes import parse_size, show_size
from hub.service.models.lane import Lane
from hub.service.models.memory import files_size
from hub.settings import ModelSettings

NeedSource = Literal["settings", "measured", "files", "unknown"]


class Seat:
    """What `Residency` knows of a model. Only `Residency` changes it. Sizes are bytes, times are of the event loop.

    `resident`: its memory is counted, from the decision to load it until its process is gone. `rested`: it is not
    loaded because that was decided, not because it failed.
    """

    def __init__(self, name: str, engine: Engine, lane: Lane, settings: ModelSettings, device: str) -> None:
        self.name = name
        self.engine = engine
        self.lane = lane
        self.settings = settings
        self.device = device
        self.budget: int | None = None
        self.resident = False
        self.rested = False
        self.measured: int | None = None  # what it held when that was last looked at
        self.held: int | None = None  # the same, of the worker that is there now
        self.wanted = 0  # requests that wait for it to be loaded
        self.holds = 0  # others that need it to stay
        self.may_evict = False
        self.last_used = 0.0
        self.loading: asyncio.Task[None] | None = None
        self.ending: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self._declared = parse_size(settings.memory) if settings.memory is not None else None
        self._files: int | None = None

    # -- what it does -----------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Ready, and to stay."""
        return self.resident and self.ending is None and self.engine.status.state == "ready"

    @property
    def dead(self) -> bool:
        """Its worker is gone, and nobody is at work on it."""
        idle = self.loading is None and self.ending is None
        return idle and self.engine.status.state in ("stopped", "broken")

    @property
    def working(self) -> bool:
        """It speaks, or has been promised to somebody."""
        return bool(self.lane.running or self.wanted or self.holds or self.engine.status.active)

    @property
    def busy(self) -> bool:
        """It must not be unloaded for another."""
        return self.working or self.lane.waiting > 0 or self.loading is not None

    def touch(self) -> None:
        """It is used now."""
        self.last_used = asyncio.get_running_loop().time()

    # -- what it needs ----------------------------------------------------------------------------

    @property
    def need(self) -> int:
        """What has to be free before it is loaded. What is not declared is a guess, and never more than the budget."""
        if self._declared is not None:
            return self._declared
        guess = self.measured if self.measured is not None else self._files or 0
        return guess if self.budget is None else min(guess, self.budget)

    @property
    def need_source(self) -> NeedSource:
        """Where `need` is from."""
        if self._declared is not None:
            return "settings"
        if self.measured is not None:
            return "measured"
        return "files" if self._files else "unknown"

    @property
    def need_is_guess(self) -> bool:
        """Neither declared nor ever measured."""
        return self._declared is None and self.measured is None

    def look_at_files(self) -> None:
        """Weights take at least the room of their files. Blocks."""
        self._files = files_size(self.settings.path)

    @property
    def counted(self) -> int:
        """What it counts for against the budget: what it holds, at least what is declared."""
        if not self.resident:
            return 0
        return max(self._declared or 0, self.held if self.held is not None else self.need)

    @property
    def need_words(self) -> str:
        """`need`, for people."""
        said = {"settings": "as its settings say", "measured": "as last measured", "files": "by its files"}
        source = self.need_source
        return f"{show_size(self.need)}, {said[source]}" if source != "unknown" else "an unknown amount of memory"

    @property
    def rest_words(self) -> str:
        """How long it has not been used, for people."""
        return f"not used for {max(0.0, asyncio.get_running_loop().time() - self.last_used):.0f} s"

    @property
    def last_used_at(self) -> float | None:
        """Seconds since the epoch; None if never."""
        if not self.last_used:
            return None
        return time.time() - (asyncio.get_running_loop().time() - self.last_used)
