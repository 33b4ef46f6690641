"""Memory: how much a worker holds, as the system reports it, for workers that do not say it themselves.

Resident memory comes from /proc (elsewhere from `ps`), the memory of NVIDIA GPUs from `nvidia-smi`. No device library
is loaded. `nvidia-smi` numbers all GPUs of the machine: a worker of which CUDA_VISIBLE_DEVICES hides some has other
numbers, and must say itself what it holds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ASK_TIMEOUT = 10.0
"""Seconds that nvidia-smi or ps may take."""


def device_of(setting: str) -> str:
    """The device whose memory a model of this setting uses: `cpu`, `mps`, or a GPU by number, `cuda:0`.

    For `auto` it is a guess until the worker reports its choice: the first NVIDIA GPU if there is one, else the CPU, as
    `hub.nn.device` chooses.
    """
    if setting == "auto":
        return "cuda:0" if has_nvidia() else "cpu"
    return "cuda:0" if setting == "cuda" else setting


@cache
def has_nvidia() -> bool:
    """True if this machine has a working NVIDIA GPU."""
    return bool(_ask("nvidia-smi", "--query-gpu=index", "--format=csv,noheader"))


def files_size(path: str) -> int:
    """Bytes of the file, or of all files below the folder, at `path`; 0 if there is neither."""
    found = Path(path) if path else None
    if found is None or not found.exists():
        return 0
    if found.is_file():
        return found.stat().st_size
    return sum(file.stat().st_size for file in found.rglob("*") if file.is_file() and ".cache" not in file.parts)


def used(device: str, pids: Iterable[int]) -> dict[int, int]:
    """Bytes that each worker of `pids`, with the processes it started, holds on `device`.

    A worker whose memory is unknown is left out: it has ended, or the GPU's driver does not name its process (often so
    in containers with process ids of their own). Blocks for some milliseconds.
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
    """Process ids by session. A worker leads a session, which holds every process that it starts."""
    found: dict[int, set[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:  # pid (name) state ppid pgrp session ...; the name may hold any character, spaces and parentheses too
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
    return pages * os.sysconf("SC_PAGE_SIZE") or None  # 0 if it has ended but is not reaped yet


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
    """The lines that a program prints; none if it is missing or fails."""
    path = shutil.which(program)
    if path is None:
        return []
    try:
        done = subprocess.run((path, *arguments), capture_output=True, text=True, timeout=ASK_TIMEOUT, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return done.stdout.splitlines()
