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
    """The state of one model in `Residency`, which alone changes it. Sizes are bytes, times are of the event loop.

    `resident`: its memory is counted, from the decision to load it until its process is gone. `rested`: it is not
    loaded on purpose, not because it failed.
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
        self.measured: int | None = None  # bytes at the last measurement, of any worker
        self.held: int | None = None  # the same, of the present worker only
        self.wanted = 0  # requests that wait for it to be loaded
        self.holds = 0  # blocks that keep it loaded, see `Model.hold`
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
        """True if it is ready and not being unloaded."""
        return self.resident and self.ending is None and self.engine.status.state == "ready"

    @property
    def dead(self) -> bool:
        """True if its worker is gone, and no load or unload is under way."""
        idle = self.loading is None and self.ending is None
        return idle and self.engine.status.state in ("stopped", "broken")

    @property
    def working(self) -> bool:
        """True if a request uses it, waits for its load, or keeps it loaded."""
        return bool(self.lane.running or self.wanted or self.holds or self.engine.status.active)

    @property
    def busy(self) -> bool:
        """True if it must not be unloaded for another model."""
        return self.working or self.lane.waiting > 0 or self.loading is not None

    def touch(self) -> None:
        """Note that it is used now."""
        self.last_used = asyncio.get_running_loop().time()

    # -- what it needs ----------------------------------------------------------------------------

    @property
    def need(self) -> int:
        """Bytes that must be free before it is loaded. Unless declared, a guess, and never more than the budget."""
        if self._declared is not None:
            return self._declared
        guess = self.measured if self.measured is not None else self._files or 0
        return guess if self.budget is None else min(guess, self.budget)

    @property
    def need_source(self) -> NeedSource:
        """The source of `need`."""
        if self._declared is not None:
            return "settings"
        if self.measured is not None:
            return "measured"
        return "files" if self._files else "unknown"

    @property
    def need_is_guess(self) -> bool:
        """True if its memory is neither declared nor was ever measured."""
        return self._declared is None and self.measured is None

    def look_at_files(self) -> None:
        """Read the size of the files of the weights, which take at least that much. Blocks."""
        self._files = files_size(self.settings.path)

    @property
    def counted(self) -> int:
        """Bytes that count against the budget: those that it holds, but at least those that are declared."""
        if not self.resident:
            return 0
        return max(self._declared or 0, self.held if self.held is not None else self.need)

    @property
    def need_words(self) -> str:
        """`need` and its source, in words."""
        said = {"settings": "as its settings say", "measured": "as last measured", "files": "by its files"}
        source = self.need_source
        return f"{show_size(self.need)}, {said[source]}" if source != "unknown" else "an unknown amount of memory"

    @property
    def rest_words(self) -> str:
        """The time since its last use, in words."""
        return f"not used for {max(0.0, asyncio.get_running_loop().time() - self.last_used):.0f} s"

    @property
    def last_used_at(self) -> float | None:
        """Seconds since the epoch; None if never."""
        if not self.last_used:
            return None
        return time.time() - (asyncio.get_running_loop().time() - self.last_used)
