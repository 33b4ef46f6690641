"""The CPU load of a benchmark's processes, and of everything else on the machine."""

from __future__ import annotations

import time

import psutil


class Load:
    """Measures the load within a `with` block. `shares`: percent of a core for each process, then for the rest."""

    def __init__(self, *pids: int) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]
        self.shares: list[str] = []

    def __enter__(self) -> Load:
        self._before = self._seconds()
        return self

    def __exit__(self, *_: object) -> None:
        began, *before = self._before
        ended, *after = self._seconds()
        *used, busy = [100 * (new - old) / (ended - began) for old, new in zip(before, after, strict=True)]
        self.shares = [f"{share:.0f} %" for share in (*used, max(0.0, busy - sum(used)))]

    def _seconds(self) -> list[float]:
        """Return the time, the CPU seconds of each process, and those of the machine."""
        used = [sum(process.cpu_times()[:2]) for process in self._processes]
        machine = psutil.cpu_times()
        return [time.monotonic(), *used, machine.user + machine.nice + machine.system + getattr(machine, "irq", 0)]
