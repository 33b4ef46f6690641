"""Memory: sizes as people write them, and how much a worker holds, as the system tells.

Resident memory comes from /proc (elsewhere from `ps`), the memory of NVIDIA GPUs from `nvidia-smi`. Nothing here loads
a library of a device.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from hub.settings import SIZE

_UNITS = {"B": 1, **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)}}
_UNITS |= {f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", 1)}

ASK_TIMEOUT = 10.0
"""Seconds that nvidia-smi or ps may take."""


def parse_size(text: str) -> int:
    """Bytes of a size such as "8 GiB", "500 MB" or "1.5TiB". Raises ValueError for anything else."""
    found = re.fullmatch(SIZE, text)
    if found is None:
        raise ValueError(f"{text!r} is no size; write it like 8 GiB or 500 MB")
    return int(float(found["number"]) * _UNITS[found["unit"].upper()])


def show_size(size: int) -> str:
    """`size` bytes for people: "1.4 GiB", "512 MiB", "0 B"."""
    if size < 1024:
        return f"{size} B"
    power = min(4, (size.bit_length() - 1) // 10)
    value, unit = size / 1024**power, "KMGT"[power - 1] + "iB"
    return f"{value:.1f} {unit}" if value < 10 and power > 2 else f"{value:.0f} {unit}"


def place(device: str) -> str:
    """The device whose memory a model set to `device` uses: `cpu`, `mps`, or a GPU by number, `cuda:0`.

    `auto` is what the families' own code makes of it: the first NVIDIA GPU if there is one, then Apple's, then the CPU.
    """
    if device == "auto":
        if has_nvidia():
            return "cuda:0"
        return "mps" if sys.platform == "darwin" and os.uname().machine == "arm64" else "cpu"
    return "cuda:0" if device == "cuda" else device


@cache
def has_nvidia() -> bool:
    """Whether this machine has an NVIDIA GPU that answers."""
    return bool(_ask("nvidia-smi", "--query-gpu=index", "--format=csv,noheader"))


def files_size(path: str) -> int:
    """Bytes of the file, or of all files below the folder, at `path`; 0 if there is neither."""
    place = Path(path) if path else None
    if place is None or not place.exists():
        return 0
    if place.is_file():
        return place.stat().st_size
    return sum(file.stat().st_size for file in place.rglob("*") if file.is_file() and ".cache" not in file.parts)


def used(device: str, pids: Iterable[int]) -> dict[int, int]:
    """Bytes that each worker of `pids`, with the processes it started, holds on `device`.

    A worker is missing where it cannot be told: it has ended, or a GPU's driver does not name processes (in containers
    with process ids of their own it often does not). Blocks for some milliseconds.
    """
    sessions = _sessions()
    found: dict[int, int] = {}
    held = _gpu_memory(device) if device.startswith("cuda") else None
    for pid in pids:
        family = sessions.get(pid, {pid})
        if held is None:
            sizes = [size for member in family if (size := _resident(member)) is not None]
        else:
            sizes = [held[member] for member in family if member in held]
        if sizes:
            found[pid] = sum(sizes)
    return found


def _sessions() -> dict[int, set[int]]:
    """Process ids by session: a worker leads one, in which all that it starts are."""
    found: dict[int, set[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:  # pid (name) state ppid pgrp session ...; the name may hold anything, blanks and brackets too
            fields = entry.read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        found.setdefault(int(fields[3]), set()).add(int(entry.parent.name))
    return found


def _resident(pid: int) -> int | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        answer = _ask("ps", "-o", "rss=", "-p", str(pid)) if not Path("/proc/self").exists() else []
        return int(answer[0]) * 1024 if answer and answer[0].strip().isdigit() else None
    return pages * os.sysconf("SC_PAGE_SIZE") or None  # nothing resident: it has ended and was not yet collected


def _gpu_memory(device: str) -> dict[int, int]:
    """Bytes by process id on one GPU."""
    number = device.partition(":")[2] or "0"
    found: dict[int, int] = {}
    query = ("nvidia-smi", "-i", number, "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits")
    for line in _ask(*query):
        pid, _, mebibytes = line.partition(",")
        if pid.strip().isdigit() and mebibytes.strip().isdigit():
            found[int(pid)] = found.get(int(pid), 0) + int(mebibytes) * 1024**2
    return found


def _ask(program: str, *arguments: str) -> list[str]:
    """The lines that a program prints; none if it is not there or fails."""
    path = shutil.which(program)
    if path is None:
        return []
    try:
        done = subprocess.run((path, *arguments), capture_output=True, text=True, timeout=ASK_TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()
