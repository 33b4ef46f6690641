"""Seeds of the parts of a request or a task that has one seed."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, index: int) -> int:
    """Return the seed of part `index`, of 31 bits, which every random generator accepts."""
    digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
