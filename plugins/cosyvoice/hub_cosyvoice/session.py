"""A request's session with a language model: its cache, its position, and steps that a GPU replays as graphs."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from hub.nn.decode import KVCache, Stepper, prefix_length
from hub.nn.loans import Loans
from hub_cosyvoice.model.lm.base import SpeechLM
from hub_cosyvoice.model.lm.cache_view import Filled, Padded

LONGEST = 8192
"""The most positions of a sequence: more than five minutes of speech."""

USUAL = 1024
"""Positions that suffice for most segments with their prompt; the least size of a cache on a GPU."""

KEPT = 16
"""Idle sessions that a GPU keeps."""


class Session:
    """One sequence. Use it in inference mode, and from one thread."""

    def __init__(self, lm: SpeechLM, length: int) -> None:
        lm.reserve(length)
        cache = lm.cache(length)
        self._lm, self._cache = lm, cache
        # The step must not refer to the session: a cycle would hold the cache until the next garbage collection.
        self._replay = Stepper(lambda visible, ids, at: _padded_step(lm, cache, int(visible), ids, at), lm.device)
        self.filled = 0

    @property
    def length(self) -> int:
        """All positions."""
        return self._cache.length

    @property
    def room(self) -> int:
        """The positions that are left."""
        return self._cache.length - self.filled

    def extend(self, x: Tensor) -> Tensor:
        """Add embeddings (1, T, H); returns the logits after the last, (V,) float32."""
        logits: Tensor = self._lm(x, Filled(self._cache, self.filled, x.shape[1]))
        self.filled += x.shape[1]
        return logits

    def step(self, token: int) -> Tensor:
        """Add one speech token; returns the logits after it, (V,) float32, valid until the next step."""
        if self._lm.device.type != "cuda":
            return self.extend(self._lm.embed_speech(torch.tensor([token], device=self._lm.device)))
        visible = prefix_length(self.filled + 1, self._cache.length)
        logits: Tensor = self._replay(visible, torch.tensor([token]), torch.tensor([self.filled]))
        self.filled += 1
        return logits

    def capture_all(self) -> None:
        """Capture the graphs of all lengths."""
        visible = 0
        while visible < self._cache.length:
            visible = prefix_length(visible + 1, self._cache.length)
            self._replay(visible, torch.tensor([0]), torch.tensor([visible - 1]))

    def restart(self) -> None:
        """Forget the sequence. The cache's content stays and is overwritten."""
        self.filled = 0


def _padded_step(lm: SpeechLM, cache: KVCache, visible: int, ids: Tensor, at: Tensor) -> Tensor:
    return lm(lm.embed_speech(ids), Padded(cache, at, visible))


class Sessions:
    """Lends sessions. A GPU keeps them with their graphs; elsewhere each request gets one of its own size."""

    def __init__(self, lm: SpeechLM) -> None:
        self._loans = Loans(
            lambda length: Session(lm, length),
            size_of=lambda session: session.length,
            device=lm.device,
            keep=KEPT,
            rounded=lambda length: prefix_length(length, LONGEST, smallest=USUAL),
            made_ready=Session.restart,
        )
        if self._loans.keeps:
            lm.reserve(LONGEST)  # graphs read these tables, so their addresses must not change

    def lend(self, length: int) -> AbstractContextManager[Session]:
        """A session of at least `length` positions, or of LONGEST, for the duration of a `with` block."""
        return self._loans.lend(min(length, LONGEST))

    @torch.inference_mode()
    def warm(self, count: int) -> None:
        """Make `count` sessions with all their graphs, so that no request waits for a capture. For GPUs only."""
        if not self._loans.keeps:
            return
        sessions = [self._loans.take(USUAL) for _ in range(count)]
        for session in sessions:
            session.capture_all()
            self._loans.give_back(session)
