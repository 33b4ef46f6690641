"""Slots: what one reply needs on the device - a cache, a history of columns, settings, and its graphs.

On a GPU capturing a graph costs more than many steps, so slots are kept and lent out again; their length is rounded up
to a power of two, so that there are few kinds of them. Elsewhere a slot is made for its request, exactly as long as it
needs, and dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from hub.nn.decode import Stepper
from hub_higgs_audio.model.language import LanguageModel
from hub_higgs_audio.model.sampling import Knobs, Settings

SHORTEST = 1024
"""Positions of the shortest slot that is kept."""


class Slot:
    """Belongs to one reply at a time. `remembered` columns of `history` (K, length) are filled."""

    def __init__(self, model: LanguageModel, length: int) -> None:
        device = model.device
        self.cache = model.cache(length)
        self.history = torch.zeros(model.sizes.codebooks, length, dtype=torch.long, device=device)
        self.remembered = 0
        self.knobs = Knobs.of(Settings(), device)
        self.uniform_dtype = torch.float32 if device.type == "mps" else torch.float64
        self.lag = 1 if device.type == "cuda" else 0
        self.step: Any = None

    def begin(self, settings: Settings) -> None:
        """Forget the reply before, and draw by these settings."""
        self.remembered = 0
        for place, value in zip(self.knobs, Knobs.of(settings, self.history.device), strict=True):
            place.copy_(value)  # in place: graphs read where they were captured

    def remember(self, audios: Sequence[Tensor]) -> None:
        """Columns (K, F) each that are in the context already. Of more than there is room for, the last."""
        for columns in audios:
            room = self.history.shape[1] - self.remembered
            kept = columns[:, -room:]
            self.history[:, self.remembered : self.remembered + kept.shape[1]] = kept.to(self.history.device)
            self.remembered += kept.shape[1]


class Slots:
    """Lends slots; at most `keep` of them stay when they come back. Their steps are `compiled` where they stay."""

    def __init__(self, model: LanguageModel, make_step: Any, *, keep: int, compiled: bool = False) -> None:
        self._model = model
        self._make_step = make_step
        self._keep = keep if model.device.type == "cuda" else 0
        self._compiled = compiled and self._keep > 0  # a slot that serves one request would be compiled for it alone
        self._idle: list[Slot] = []
        self._lock = threading.Lock()

    @contextmanager
    def lend(self, length: int) -> Iterator[Slot]:
        """A slot for at least `length` positions."""
        slot = self._take(length)
        try:
            yield slot
        finally:
            with self._lock:
                if len(self._idle) < self._keep:
                    self._idle.append(slot)

    def clear(self) -> None:
        """Drop what is idle."""
        with self._lock:
            self._idle.clear()

    def _take(self, length: int) -> Slot:
        if self._keep:
            length = max(SHORTEST, 1 << (length - 1).bit_length())
        with self._lock:
            fitting = sorted(
                (slot for slot in self._idle if slot.cache.length >= length), key=lambda slot: slot.cache.length
            )
            if fitting:
                self._idle.remove(fitting[0])
                return fitting[0]
            if self._idle and len(self._idle) >= self._keep:
                del self._idle[0]  # make room for one that fits
        slot = Slot(self._model, length)
        step = self._make_step(self._model, slot)
        slot.step = Stepper(torch.compile(step, dynamic=False) if self._compiled else step, self._model.device)
        return slot
