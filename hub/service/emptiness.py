"""What counts as no answer: audio that is too short, or silent."""

from __future__ import annotations

SHORTEST = 0.05
"""Seconds: an answer to a text with letters that is shorter than this is no answer."""

SILENCE = 1e-4
"""Peak amplitude (-80 dBFS) under which audio counts as silent."""


def is_empty(seconds: float, peak: float) -> bool:
    """Whether so much audio, as loud as that at most, says nothing."""
    return seconds < SHORTEST or peak <= SILENCE


def emptiness(seconds: float, model: str) -> str:
    """What there was instead of an answer, for the caller."""
    if seconds == 0:
        what = "no audio"
    elif seconds < SHORTEST:
        what = f"only {seconds * 1000:.0f} ms of audio"
    else:
        what = "only silence"
    return f"model {model!r} gave {what} for this text; try again, or another wording or seed"
