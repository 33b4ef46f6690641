"""Seeds of the parts of a request or a task that has one seed."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, index: int) -> int:
    """The seed of the `index`th part of what has `seed`: in 31 bits, which every random generator takes."""
    digest = hashlib.sha256(f"{seed}/{index}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
