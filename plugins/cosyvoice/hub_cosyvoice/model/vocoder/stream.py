"""Mel that arrives in pieces -> exactly the samples that one call over all of it would give.

A sample depends on a bounded stretch of frames. Each call decodes the new frames with that much context to the left,
returns the samples that are far enough from the right edge to be final, and keeps the rest for the next call.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hub_cosyvoice.model.vocoder.generator import Generator
from hub_cosyvoice.model.vocoder.reach import reach
from hub_cosyvoice.model.vocoder.source import Carry


class VocoderStream:
    """The vocoder over one stream. `generator` draws the source's noise."""

    def __init__(self, vocoder: Generator, generator: torch.Generator) -> None:
        self._vocoder = vocoder
        self._generator = generator
        self._phases = vocoder.m_source.phases(generator)
        self._carry = Carry()
        self._left, self._right = reach(vocoder)
        self._mel: Tensor | None = None  # (1, 80, F): the frames from `_start` on
        self._source: Tensor | None = None  # (1, 1, M): the source from frame `_start` on
        self._start = self._sent = self._pitched = 0  # absolute frames
        self._noise: Tensor | None = None  # (1, N, H): drawn, but not used yet

    @property
    def delay(self) -> int:
        """The number of frames that are held back until more are known."""
        source = self._vocoder.m_source
        return self._vocoder.f0_predictor.right + (1 if source.kind == "linear" else 0) + self._right

    def feed(self, mel: Tensor, final: bool = False) -> Tensor:
        """Further frames (1, 80, F), maybe none -> the samples that are now final, (N,) on the vocoder's device.

        A `final` call ends the stream and returns all samples that are left.
        """
        mel = mel.to(self._vocoder.device, torch.float32)
        self._mel = mel if self._mel is None else torch.cat([self._mel, mel], dim=2)
        frames = self._start + self._mel.shape[2]
        if frames == 0:
            return mel.new_zeros(0)
        self._pitch(frames, final)
        ready = frames if final else self._ready()
        if ready <= self._sent:
            return mel.new_zeros(0)
        wave = self._decode(frames if final else self._usable())
        hop = self._vocoder.hop
        found = wave[(self._sent - self._start) * hop : (ready - self._start) * hop]
        self._sent = ready
        self._forget()
        return found

    def _pitch(self, frames: int, final: bool) -> None:
        """Make the source of all frames whose pitch is final."""
        predictor = self._vocoder.f0_predictor
        until = frames if final else frames - predictor.right
        if until <= self._pitched and not final:
            return
        assert self._mel is not None
        begin = max(self._start, self._pitched - predictor.left)
        pitch = predictor(self._mel[:, :, begin - self._start :])
        pitch = pitch[:, self._pitched - begin : until - begin]
        self._pitched = until
        noise = self._next_noise(pitch.shape[1], final)
        added = self._vocoder.m_source.more(pitch, self._phases, noise.to(pitch.device), self._carry, final)
        self._source = added if self._source is None else torch.cat([self._source, added], dim=2)

    def _next_noise(self, frames: int, final: bool) -> Tensor:
        """The draws for the samples that `more` makes of so many further frames."""
        source = self._vocoder.m_source
        drawn = source.draws(frames, self._generator)
        noise = drawn if self._noise is None else torch.cat([self._noise, drawn], dim=1)
        kept = 0 if final or source.kind != "linear" else source.hop - source.hop // 2
        self._noise = noise[:, noise.shape[1] - kept :]
        return noise[:, : noise.shape[1] - kept]

    def _usable(self) -> int:
        """The number of frames from the beginning of which mel and all of the source are known."""
        known = 0 if self._source is None else self._source.shape[2] // self._vocoder.hop
        return self._start + known

    def _ready(self) -> int:
        """The number of frames whose samples are final while the end is not known."""
        return self._usable() - self._right

    def _decode(self, until: int) -> Tensor:
        assert self._mel is not None
        assert self._source is not None
        count = until - self._start
        return self._vocoder(self._mel[:, :, :count], self._source[:, :, : count * self._vocoder.hop])[0]

    def _forget(self) -> None:
        """Drop all that no later sample depends on."""
        keep = max(self._start, min(self._sent - self._left, self._pitched - self._vocoder.f0_predictor.left))
        gone = keep - self._start
        if gone > 0 and self._mel is not None and self._source is not None:
            self._mel = self._mel[:, :, gone:].clone()
            self._source = self._source[:, :, gone * self._vocoder.hop :].clone()
            self._start = keep
