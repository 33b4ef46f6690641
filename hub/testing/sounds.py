"""Comparing sounds, up to the rounding of arithmetic."""

from __future__ import annotations

import numpy as np

Sound = bytes | np.ndarray
"""Samples as an array of floats in [-1, 1] or of 16-bit integers, or bytes: a 16-bit WAV, or headerless 16-bit PCM."""

ROUNDING = 1e-4
"""Three steps of 16 bits. One model's results in different memory, or beside other work, differ by less."""


def alike(one: Sound, other: Sound, within: float = ROUNDING) -> bool:
    """Return True if two sounds have the same length and differ nowhere by more than `within` of full scale."""
    first, second = _samples(one), _samples(other)
    return first.shape == second.shape and bool(np.all(np.abs(first - second) <= within))


def _samples(sound: Sound) -> np.ndarray:
    if isinstance(sound, bytes):
        start = sound.index(b"data") + 8 if sound[:4] == b"RIFF" else 0
        sound = np.frombuffer(sound[start:], "<i2")
    return sound / 32768 if sound.dtype.kind == "i" else sound
