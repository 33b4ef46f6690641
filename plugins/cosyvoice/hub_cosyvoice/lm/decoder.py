"""One request's walk through a language model: a cache, and steps that a GPU replays as graphs."""

from __future__ import annotations

import threading
from types import TracebackType

import torch
from torch import Tensor

from hub.nn.decode import KVCache, Stepper, prefix_length
from hub_cosyvoice.lm.model import SpeechLM
from hub_cosyvoice.lm.past import Filled, Padded

LONGEST = 8192
"""Positions that a sequence may have: more than five minutes of speech."""

USUAL = 1024
"""Positions of most segments with their prompt; on a GPU the least that a cache has."""

KEPT = 16
"""Caches that a GPU keeps while nobody uses them; the smallest go first."""


class Seats:
    """Caches for requests. On a GPU they are kept with their graphs and lent again; elsewhere made for each request."""

    def __init__(self, lm: SpeechLM) -> None:
        self._lm = lm
        self._keeps = lm.device.type == "cuda"
        self._free: list[_Seat] = []
        self._lock = threading.Lock()
        if self._keeps:
            lm.reserve(LONGEST)  # graphs read these tables: they must stay where they are

    def take(self, length: int) -> _Seat:
        """A seat of `length` positions or more."""
        length = min(length, LONGEST)
        if not self._keeps:
            self._lm.reserve(length)
            return _Seat(self._lm, length)
        with self._lock:
            fitting = [seat for seat in self._free if seat.cache.length >= length]
            if fitting:
                seat = min(fitting, key=lambda seat: seat.cache.length)
                self._free.remove(seat)
                return seat
        return _Seat(self._lm, prefix_length(length, LONGEST, smallest=USUAL))

    def give_back(self, seat: _Seat) -> None:
        """The request is over."""
        if self._keeps:
            with self._lock:
                self._free.append(seat)
                if len(self._free) > KEPT:
                    self._free.remove(min(self._free, key=lambda seat: seat.cache.length))

    @torch.inference_mode()
    def warm(self, count: int) -> None:
        """Have `count` seats ready with all their graphs, so that no request waits for a capture. For GPUs only."""
        if not self._keeps:
            return
        seats = [self.take(USUAL) for _ in range(count)]
        for seat in seats:
            seen = 0
            while seen < seat.cache.length:
                seen = prefix_length(seen + 1, seat.cache.length)
                seat.step(seen, torch.tensor([0]), torch.tensor([seen - 1]))
            self.give_back(seat)


class _Seat:
    def __init__(self, lm: SpeechLM, length: int) -> None:
        self.cache: KVCache = lm.cache(length)
        self.step = Stepper(lambda seen, ids, place: _padded_step(lm, self.cache, int(seen), ids, place), lm.device)


def _padded_step(lm: SpeechLM, cache: KVCache, seen: int, ids: Tensor, place: Tensor) -> Tensor:
    return lm(lm.embed_speech(ids), Padded(cache, place, seen))


class Decoder:
    """Use it as a context: leaving gives the seat back, whatever happened."""

    def __init__(self, lm: SpeechLM, seats: Seats, length: int) -> None:
        self._lm, self._seats = lm, seats
        self._seat = seats.take(length)
        self.filled = 0

    def __enter__(self) -> Decoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._seats.give_back(self._seat)

    @property
    def room(self) -> int:
        """Positions that are left."""
        return self._seat.cache.length - self.filled

    def extend(self, x: Tensor) -> Tensor:
        """Add embeddings (1, T, H); the logits after the last, (V,) float32."""
        logits: Tensor = self._lm(x, Filled(self._seat.cache, self.filled, x.shape[1]))
        self.filled += x.shape[1]
        return logits

    def step(self, token: int) -> Tensor:
        """Add one speech token; the logits after it, (V,) float32, good until the next step."""
        device = self._lm.device
        if device.type != "cuda":
            return self.extend(self._lm.embed_speech(torch.tensor([token])))
        seen = prefix_length(self.filled + 1, self._seat.cache.length)
        logits: Tensor = self._seat.step(seen, torch.tensor([token]), torch.tensor([self.filled]))
        self.filled += 1
        return logits
