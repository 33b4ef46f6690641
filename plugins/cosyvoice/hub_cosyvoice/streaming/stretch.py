"""Speed in a stream: linear resampling of the mel in time, with the position carried from chunk to chunk."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Stretch:
    """Frame j of the result lies at (j + 0.5) * speed - 0.5 of the input, as in torch's linear interpolation."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self._mel: Tensor | None = None  # the frames from `_start` on
        self._start = self._made = 0

    def feed(self, mel: Tensor) -> Tensor:
        """Further frames (1, 80, F) -> the stretched frames that are known now (1, 80, G)."""
        return mel if self.speed == 1.0 else self._more(mel, final=False)

    def finish(self, mel: Tensor) -> Tensor:
        """The last frames (1, 80, F) -> the rest; all together are int(all frames / speed) frames, at least one."""
        return mel if self.speed == 1.0 else self._more(mel, final=True)

    def _more(self, mel: Tensor, final: bool) -> Tensor:
        self._mel = mel if self._mel is None else torch.cat([self._mel, mel], dim=2)
        frames = self._start + self._mel.shape[2]
        if final:
            end = max(1, int(frames / self.speed)) if frames else 0
        else:  # the right neighbour of every position must be there
            end = max(self._made, math.floor((frames - 1 + 0.5) / self.speed - 0.5))
        at = (torch.arange(self._made, end, dtype=torch.float64) + 0.5) * self.speed - 0.5
        at = at.clamp(0, max(0, frames - 1))
        left = at.floor().long()
        weight = (at - left).to(mel.device, mel.dtype)
        right = (left + 1).clamp(max=max(0, frames - 1))
        lower, upper = (self._mel[:, :, (side - self._start).to(mel.device)] for side in (left, right))
        self._made = end
        keep = max(self._start, math.floor((end + 0.5) * self.speed - 0.5) - 1)
        gone = min(keep - self._start, self._mel.shape[2])
        self._mel = self._mel[:, :, gone:].clone()
        self._start += gone
        return lower * (1 - weight) + upper * weight
