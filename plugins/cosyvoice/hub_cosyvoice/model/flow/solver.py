"""Noise -> mel: Euler steps along the velocity that the estimator predicts, with classifier-free guidance."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hub_cosyvoice.model.flow.past import Past

STEPS = 10

Pass = Callable[[Tensor, Any, tuple[Tensor, ...], Tensor | None, Past | None], Tensor]
"""One call of an estimator: x, conditions, times, mask, past -> velocity."""


def schedule(steps: int, cosine: bool) -> tuple[Tensor, list[float]]:
    """Flow times of the steps (S,), and the width of each step; `cosine`: 1 - cos(k / S * pi / 2), else even.

    The time is accumulated in float32, as the models' own code does.
    """
    span = torch.linspace(0, 1, steps + 1)
    if cosine:
        span = 1 - torch.cos(span * 0.5 * torch.pi)
    time, width = span[0], span[1] - span[0]
    times, widths = [], []
    for step in range(1, steps + 1):
        times.append(time)
        widths.append(float(width))
        time = time + width
        if step < steps:
            width = span[step + 1] - time
    return torch.stack(times), widths


class Solver:
    """The schedule and the strength of the guidance of one model. It holds no state of a request."""

    def __init__(self, estimator: Any, guidance: float, cosine: bool, steps: int = STEPS) -> None:
        self.guidance = guidance
        times, self.widths = schedule(steps, cosine)
        self.times = estimator.times(times)

    def solve(
        self, run: Pass, noise: Tensor, conditions: Any, mask: Tensor | None, pasts: Sequence[Past] | None = None
    ) -> Tensor:
        """noise (1, 80, T) -> mel (1, 80, T), float32.

        `conditions` are of a batch of two: with conditions, and without. `pasts`, one for each step, hold the frames
        before these, and keep these as well.
        """
        x = noise.float()
        dtype = next(iter(self.times[0])).dtype
        for step, (times, width) in enumerate(zip(self.times, self.widths, strict=True)):
            past = pasts[step] if pasts is not None else None
            if past is not None:
                past.rewind()
            velocity = run(x.to(dtype).expand(2, -1, -1), conditions, times, mask, past).float()
            if past is not None:
                past.frames += x.shape[2]
            guided = (1.0 + self.guidance) * velocity[:1] - self.guidance * velocity[1:]
            x = x + width * guided
        return x


def fixed_noise(frames: int, bands: int = 80, block: int = 15_000) -> Tensor:
    """The start noise that generations 2 and 3 always use: (1, bands, `frames` or more), a draw for each position.

    The first 15000 frames (300 s) are torch's normal draws of seed 0, which the models' own code makes once. That code
    ends there; here each further block has the next seed. The result consists of whole blocks.
    """
    blocks = [
        torch.randn(1, bands, block, generator=torch.Generator().manual_seed(seed))
        for seed in range(max(1, math.ceil(frames / block)))
    ]
    return torch.cat(blocks, dim=2)
