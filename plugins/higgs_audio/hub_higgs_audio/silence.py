"""Detecting that an answer has fallen silent."""

from __future__ import annotations

from torch import Tensor

BLOCK_SECONDS = 0.02
QUIETEST = 1e-3
"""RMS (-60 dBFS) below which any block is silent."""

BELOW_LOUDEST = 1e-2
"""Blocks this far below the loudest one (-40 dB) are silent as well."""

KEPT_SECONDS = 0.5
"""Seconds of a final silence that are kept."""


class Silence:
    """Measures the silence at the end of the audio so far. One for each attempt at a passage."""

    def __init__(self, sample_rate: int) -> None:
        self._block = max(1, round(BLOCK_SECONDS * sample_rate))
        self._rate = sample_rate
        self._loudest = 0.0
        self.heard = False
        self.seconds = 0.0

    def feed(self, wave: Tensor) -> None:
        """Add the next audio (N,)."""
        blocks = len(wave) // self._block
        if not blocks:
            self.seconds += len(wave) / self._rate
            return
        levels = wave[: blocks * self._block].view(blocks, -1).square().mean(1).sqrt()
        self._loudest = max(self._loudest, float(levels.max()))
        loud = (levels >= max(QUIETEST, BELOW_LOUDEST * self._loudest)).nonzero()
        if len(loud):
            self.heard = True
            self.seconds = (len(wave) - (int(loud[-1]) + 1) * self._block) / self._rate
        else:
            self.seconds += len(wave) / self._rate
