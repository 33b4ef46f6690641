"""The check for empty audio: too short, silent, or with samples that are not finite."""

from __future__ import annotations

import math

import numpy as np

from hub.audio.join import Samples
from hub.contract.errors import EmptyAudio
from hub.contract.event import AudioChunk

SHORTEST = 0.05
"""Seconds; shorter audio counts as no answer to a text."""

SILENCE = 1e-4
"""Peak amplitude (-80 dBFS) up to which audio counts as silent."""


class Heard:
    """The length and peak of the audio that a model has given so far."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.seconds = 0.0
        self.peak = 0.0

    def hear(self, chunk: AudioChunk) -> Samples:
        """Count the next chunk and return its samples, (N,). If a sample is not finite, neither is the peak."""
        samples: Samples = np.frombuffer(chunk.pcm, "<f4")
        peak = float(np.abs(samples).max(initial=0.0))
        self.seconds += chunk.seconds
        self.peak = max(self.peak, peak) if math.isfinite(peak) else peak
        return samples

    @property
    def finite(self) -> bool:
        """True if all samples are finite."""
        return math.isfinite(self.peak)

    @property
    def empty(self) -> bool:
        """True if the audio is too short or silent so far."""
        return self.seconds < SHORTEST or not self.peak > SILENCE

    def error(self) -> EmptyAudio:
        """Return the error for the caller."""
        if not self.finite:
            return EmptyAudio(f"model {self._model!r} gave samples that are not numbers; try again, or another seed")
        if self.seconds == 0:
            what = "no audio"
        elif self.seconds < SHORTEST:
            what = f"only {self.seconds * 1000:.0f} ms of audio"
        else:
            what = "only silence"
        return EmptyAudio(
            f"model {self._model!r} gave {what} for this text; try again, or another wording or seed",
            seconds=round(self.seconds, 4),
        )
