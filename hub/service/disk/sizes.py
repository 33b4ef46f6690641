"""Sizes in bytes, as people write and read them: "8 GiB", "500 MB"."""

from __future__ import annotations

import re

from hub.settings import SIZE

_UNITS = {"B": 1, **{f"{letter}B": 1000**power for power, letter in enumerate("KMGT", 1)}}
_UNITS |= {f"{letter}IB": 1024**power for power, letter in enumerate("KMGT", 1)}


def parse_size(text: str) -> int:
    """Return the bytes of a size such as "8 GiB", "500 MB" or "1.5TiB". Raises ValueError for anything else."""
    found = re.fullmatch(SIZE, text)
    if found is None:
        raise ValueError(f"invalid size {text!r}; write it like 8 GiB or 500 MB")
    return int(float(found["number"]) * _UNITS[found["unit"].upper()])


def show_size(size: int) -> str:
    """Format `size` bytes for people: "1.4 GiB", "512 MiB", "0 B"."""
    if size < 1024:
        return f"{size} B"
    power = min(4, (size.bit_length() - 1) // 10)
    value, unit = size / 1024**power, "KMGT"[power - 1] + "iB"
    return f"{value:.1f} {unit}" if value < 10 and power > 2 else f"{value:.0f} {unit}"
