"""The symbols that play a byte: their frequencies, their length, and their waves."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 24_000
SYMBOL = 960
"""Samples of one symbol at speed 1: 40 ms, so 25 bytes of text a second, about the pace of speech."""

LOW_BAND, HIGH_BAND, STEP = 600.0, 2300.0, 100.0
"""Hz of the first sine of each half, and between two sines. All below 4 kHz: audio at 8 kHz still carries the text."""

Wave = npt.NDArray[np.float32]


def symbol_length(speed: float) -> int:
    """Return the samples of one symbol at `speed`."""
    return max(1, round(SYMBOL / speed))


@functools.lru_cache(maxsize=4)
def symbols(length: int) -> Wave:
    """Return all symbols of one length, (256, length)."""
    time_axis = np.arange(length) / SAMPLE_RATE
    halves = np.arange(16)[:, None]
    low = np.sin(2 * np.pi * (LOW_BAND + STEP * halves) * time_axis)
    high = np.sin(2 * np.pi * (HIGH_BAND + STEP * halves) * time_axis)
    return np.asarray(0.2 * (high[:, None, :] + low[None, :, :]).reshape(256, length), dtype=np.float32)
