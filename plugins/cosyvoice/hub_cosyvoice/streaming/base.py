"""What every stream has: tokens that came, and the rule when there are enough for the next chunk."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class WaveStream:
    """One utterance of one request. Everything it remembers is in here: drop it and its memory is free."""

    def __init__(self) -> None:
        self.tokens: list[int] = []

    @property
    def wanted(self) -> int:
        """How many more tokens the next chunk waits for, at least 1."""
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
        """No more tokens will come -> the samples that are left, (N,)."""
        return self._rest().float().cpu() if self.tokens else torch.zeros(0)

    def _needed(self) -> int:
        """Tokens, counted from the beginning, with which the next chunk can be made."""
        raise NotImplementedError

    def _chunk(self) -> Tensor:
        """The next chunk (N,), and on to the one after."""
        raise NotImplementedError

    def _rest(self) -> Tensor:
        """The last chunk (N,)."""
        raise NotImplementedError
