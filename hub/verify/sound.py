"""Measures of the sound itself: where it begins and ends, how fast it is, whether it was cut off. NumPy only."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Samples = NDArray[np.float32]

FRAME = 0.01
"""Seconds of a frame, whose level is one figure."""

SILENCE = -60.0
"""dB of full scale below which a frame is silence, whatever the rest is like."""

QUIET = 35.0
"""dB below the loudest frames from which on a frame counts as silence: the breath and the noise of a vocoder."""

PAUSE = 0.25
"""Seconds of silence that count as a pause and not as part of a word."""

CUT = 15.0
"""dB below the loudest frames. Speech dies away to less before it ends; a louder last frame was cut off."""


class Extent(Struct, frozen=True):
    """Where the sound of a recording is. Times are seconds; `spoken` is from `start` to `end` without the pauses."""

    start: float
    end: float
    spoken: float
    cut_off: bool


def extent_of(samples: Samples, sample_rate: int) -> Extent | None:
    """Return where the sound is in (N,) samples; None if all of it is silence."""
    levels = levels_of(samples, sample_rate)
    if not levels.size:
        return None
    loud = float(np.percentile(levels, 95))
    sounding = np.flatnonzero(levels > max(loud - QUIET, SILENCE))
    if not sounding.size:
        return None
    gaps = np.diff(sounding) - 1
    pauses = float(gaps[gaps * FRAME > PAUSE].sum())
    frames = float(sounding[-1] + 1 - sounding[0])
    return Extent(
        start=float(sounding[0]) * FRAME,
        end=float(sounding[-1] + 1) * FRAME,
        spoken=(frames - pauses) * FRAME,
        cut_off=bool(levels[-2:].max() > loud - CUT),
    )


def levels_of(samples: Samples, sample_rate: int) -> NDArray[np.float64]:
    """Return the level of each whole frame in dB of full scale: (N,) -> (frames,)."""
    size = max(1, round(sample_rate * FRAME))
    frames = np.asarray(samples[: len(samples) // size * size], np.float64).reshape(-1, size)
    levels: NDArray[np.float64] = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    return levels
