"""The base of every stream: the tokens so far, and the rule for the next chunk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor


class WaveStream(ABC):
    """One utterance of one request. It holds all of its state: drop it and its memory is free."""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    @property
    def wanted(self) -> int:
        """The number of further tokens that the next chunk waits for, at least 1."""
        return max(1, self._needed() - len(self.tokens))

    @torch.inference_mode()
    def feed(self, tokens: Sequence[int]) -> Tensor:
        """Further tokens -> the samples of the chunks that can be made now, (N,) float32 on the CPU; often none."""
        self.tokens += [int(token) for token in tokens]
        made = [torch.zeros(0)]
        while len(self.tokens) >= self._needed():
            made.append(self._chunk().float().cpu())
        return torch.cat(made)

    @torch.inference_mode()
    def finish(self) -> Tensor:
        """The samples that are left, (N,), after the last token."""
        return self._rest().float().cpu() if self.tokens else torch.zeros(0)

    @abstractmethod
    def _needed(self) -> int:
        """The number of tokens from the beginning that the next chunk needs."""

    @abstractmethod
    def _chunk(self) -> Tensor:
        """Make the next chunk (N,), and move on to the one after."""

    @abstractmethod
    def _rest(self) -> Tensor:
        """Make the last chunk (N,)."""
