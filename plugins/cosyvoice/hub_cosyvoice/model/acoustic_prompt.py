"""A speaker, as the acoustic models get one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class AcousticPrompt:
    """One speaker, on the CPU: speech `tokens` (P,) int64, the same recording's log `mel` (F, 80) float32, and the
    speaker `embedding` (192,) float32 as campplus gives it (the models normalise it).

    A speaker that is only an embedding has no tokens and no frames.
    """

    tokens: Tensor
    mel: Tensor
    embedding: Tensor

    @classmethod
    def of_embedding(cls, embedding: Tensor, mel_bands: int = 80) -> AcousticPrompt:
        """A speaker without a recording, like the presets of the SFT models."""
        return cls(torch.zeros(0, dtype=torch.long), torch.zeros(0, mel_bands), embedding.detach().float().reshape(-1))

    def aligned(self, frames_per_token: int) -> AcousticPrompt:
        """Cut to whole tokens: as many as both the tokens and the frames allow, with exactly their frames."""
        count = min(len(self.mel) // frames_per_token, len(self.tokens))
        return replace(self, tokens=self.tokens[:count], mel=self.mel[: frames_per_token * count])
