"""What counts as no answer: audio that is too short, silent, or not of finite numbers."""

from __future__ import annotations

import math

import numpy as np

from hub.audio.join import Samples
from hub.contract.errors import EmptyAudio
from hub.contract.event import AudioChunk

SHORTEST = 0.05
"""Seconds: an answer to a text with letters that is shorter than this is no answer."""

SILENCE = 1e-4
"""Peak amplitude (-80 dBFS) under which audio counts as silent."""


class Heard:
    """How much audio a model has given so far, and how loud it is at most."""

    def __init__(self, model: str) -> None:
        self._model = model
        self.seconds = 0.0
        self.peak = 0.0

    def hear(self, chunk: AudioChunk) -> Samples:
        """The next chunk's samples, (N,). Of numbers that are not finite the peak is not finite either."""
        samples: Samples = np.frombuffer(chunk.pcm, "<f4")
        peak = float(np.abs(samples).max(initial=0.0))
        self.seconds += chunk.seconds
        self.peak = max(self.peak, peak) if math.isfinite(peak) else peak
        return samples

    @property
    def finite(self) -> bool:
        """Whether all samples are numbers."""
        return math.isfinite(self.peak)

    @property
    def empty(self) -> bool:
        """Whether that says nothing yet."""
        return self.seconds < SHORTEST or not self.peak > SILENCE

    def error(self) -> EmptyAudio:
        """What there was instead of an answer, for the caller."""
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
