"""The random draws of the acoustic models: from a request's generator, or given."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hub_cosyvoice.model.vocoder.source import Source

SEEDS = 2**63 - 1


@dataclass(frozen=True)
class Draws:
    """The given draws of one call; those that are None are drawn. Shapes as in the models' own code.

    `flow_noise` (1, 80, T); `phase` (1, H), in radians for 22.05 kHz models, else in cycles; `noise` (1, N, H).
    """

    flow_noise: Tensor | None = None
    phase: Tensor | None = None
    noise: Tensor | None = None

    def phases_of(self, source: Source, generator: torch.Generator) -> Tensor:
        """(1, H)."""
        return source.phases(generator) if self.phase is None else self.phase

    def noise_of(self, source: Source, frames: int, generator: torch.Generator) -> Tensor:
        """(1, frames * hop, H)."""
        return source.draws(frames, generator) if self.noise is None else self.noise[:, : frames * source.hop]


NONE = Draws()
"""No given draws: all are drawn from the generator."""


def children(generator: torch.Generator) -> tuple[torch.Generator, torch.Generator]:
    """Generators for flow and vocoder. Each draws by position, so that the cuts between chunks change no draw."""
    seeds = torch.randint(SEEDS, (2,), generator=generator).tolist()
    return torch.Generator().manual_seed(seeds[0]), torch.Generator().manual_seed(seeds[1])


def frame_noise(frames: int, bands: int, generator: torch.Generator) -> Tensor:
    """Normal start noise of further frames, (1, bands, frames), drawn frame by frame."""
    return torch.randn(frames, bands, generator=generator).T[None]
