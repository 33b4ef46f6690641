"""The verdict, and the tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.soak.book import Book
from bench.soak.watch import Sample, Watch, median, trend
from bench.table import show

HUB_GROWTH, WORKER_GROWTH = 30e6, 15e6
"""Bytes per hour by which RSS may rise, by linear regression."""

MORE_DESCRIPTORS, MORE_TASKS = 8, 3
"""By how much descriptors and asyncio tasks at rest, at the end, may exceed their least number under load."""


@dataclass
class Findings:
    """The findings at the end."""

    minutes: float
    watch: Watch
    rest: Sample
    voices: set[str]
    tasks: set[str]
    files: list[str]
    tracebacks: int
    orphans: set[int] = field(default_factory=set)

    @property
    def leavings(self) -> list[str]:
        """Files that no longer belong to a task or a voice, such as temporary ones."""
        own = ("tasks.db", ".claim", ".lock")
        found = [name for name in self.files if name.startswith(("tasks/", "voices/"))]
        return [name for name in found if not name.partition("/")[2].startswith(own)]

    @property
    def warm(self) -> list[Sample]:
        """Samples of the second half; before that, caches, pools and the allocator's arenas fill up."""
        return self.watch.since(self.watch.samples[-1].time / 2)


@dataclass(frozen=True)
class Verdict:
    """The verdict on one bound."""

    what: str
    found: str
    bound: str
    kept: bool


def judge(book: Book, found: Findings) -> list[Verdict]:
    """Return the verdicts on all bounds."""
    warm, rest = found.warm, found.rest
    hub, worker = trend(warm, "hub"), trend(warm, "worker")
    fewest, calmest = min(s.descriptors for s in warm), min(s.tasks for s in warm)
    left, tasks = rest.descriptors, rest.tasks
    return [
        Verdict("answers that were wrong, lost or unexplained", str(len(book.wrong)), "0", not book.wrong),
        Verdict("tasks left in the hub", str(len(found.tasks)), "0", not found.tasks),
        Verdict("voices left in the library", str(len(found.voices)), "0", not found.voices),
        Verdict("files of tasks and voices left", str(len(found.leavings)), "0", not found.leavings),
        Verdict("processes left", str(len(found.orphans)), "0", not found.orphans),
        Verdict("zombies at rest", str(rest.zombies), "0", rest.zombies == 0),
        Verdict("RSS of the hub, trend", _growth(hub), f"≤ {_growth(HUB_GROWTH)}", hub <= HUB_GROWTH),
        Verdict("RSS of the worker, trend", _growth(worker), f"≤ {_growth(WORKER_GROWTH)}", worker <= WORKER_GROWTH),
        _at_most("descriptors at rest", left, fewest + MORE_DESCRIPTORS),
        _at_most("asyncio tasks at rest", tasks, calmest + MORE_TASKS),
    ]


def _at_most(what: str, found: int, bound: int) -> Verdict:
    return Verdict(what, str(found), f"≤ {bound}", found <= bound)


def show_all(book: Book, found: Findings, verdicts: list[Verdict]) -> None:
    """Print the tables."""
    kinds = [[kind, sum(counts.values()), _cell(counts)] for kind, counts in sorted(book.outcomes.items())]
    total = sum(sum(counts.values()) for counts in book.outcomes.values())
    title = f"Soak of {found.minutes:g} minutes: {total} requests, {book.kills.total()} worker kills, "
    show(title + f"{len(book.deaths)} hub kills", ["request", "count", "outcomes"], kinds)
    warm, samples = found.warm, found.watch.samples
    first, last = warm[: max(1, len(warm) // 10)], warm[-max(1, len(warm) // 10) :]
    rows = []
    for label, name, unit in HELD:
        start, end = median(first, name) / unit, median(last, name) / unit
        most = max(getattr(sample, name) for sample in samples) / unit
        slope = trend(warm, name) / unit
        cells = [start, end, most, getattr(found.rest, name) / unit]
        rows.append([label, *(f"{cell:.1f}" if unit > 1 else f"{cell:g}" for cell in cells), f"{slope:+.1f}"])
    began = f"{warm[0].time / 60:.0f} min"
    show("Resources in use", ["", f"after {began}", "at the end", "at most", "at rest", "trend, per hour"], rows)
    bounds = [[v.what, v.found, v.bound, "kept" if v.kept else "BROKEN"] for v in verdicts]
    show("Bounds", ["", "found", "bound", ""], bounds)
    print("worker kills:", ", ".join(f"{model} {count}" for model, count in sorted(book.kills.items())))
    folders = Counter(str(Path(name).parent) for name in found.files)
    print("files in the data folder:", ", ".join(f"{folder} {count}" for folder, count in sorted(folders.items())))
    for name in found.leavings:
        print("LEFT", name)
    print("tracebacks in the log of the last hub:", found.tracebacks)
    for wrong in book.wrong:
        print("WRONG", wrong)


HELD = [
    ("hub, RSS, MB", "hub", 1e6),
    ("hub, descriptors", "descriptors", 1),
    ("hub, threads", "threads", 1),
    ("hub, asyncio tasks", "tasks", 1),
    ("worker, RSS, MB", "worker", 1e6),
    ("worker, descriptors", "worker_descriptors", 1),
    ("worker processes", "children", 1),
    ("files in the data folder", "files", 1),
]


def _growth(slope: float) -> str:
    return f"{slope / 1e6:+.1f} MB/h"


def _cell(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items(), key=lambda pair: -pair[1]))
