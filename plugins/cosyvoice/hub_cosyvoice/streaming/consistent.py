"""Streaming without seams: the chunks are exactly the samples of one call over the whole utterance.

Generations 2 and 3: every pass is chunk-causal, the last one too, so that no frame changes once it is made. No frame is
made twice (`Past`), the start noise belongs to the frame's position, and the vocoder returns samples once they are
final (`VocoderStream`). Generation 1 is not causal: there the mel of two chunks is cross-faded, with weights whose sum
is 1, and the vocoder's samples are exactly those of the joined mel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hub_cosyvoice.draws import children, frame_noise
from hub_cosyvoice.model.flow.flow import CausalFlow, FlowPrompt, FlowV1
from hub_cosyvoice.model.flow.past import Past
from hub_cosyvoice.model.flow.regulator import EDGE
from hub_cosyvoice.model.vocoder.stream import VocoderStream
from hub_cosyvoice.streaming.base import WaveStream
from hub_cosyvoice.streaming.stretch import Stretch
from hub_cosyvoice.wave import TokenToWave

LARGEST_HOP = 4
"""Mask chunks of the largest hop; the first hop has one, and each next one twice as many."""

LEAST_FIRST_FRAMES = 5
"""Frames of the shortest first chunk that is worth sending, 0.1 s."""

MEMORY = {"cpu": 1 << 30, "cuda": 4 << 30}
"""Bytes of `Past` that one stream may hold; a longer stream makes its frames again, with the same result."""

FIRST_HOP_V1 = 2 * EDGE
"""Tokens of generation 1's first chunk without the overlap: the fewest whose ends have a fixed length in frames."""


class ConsistentV2(WaveStream):
    """Generations 2 and 3."""

    def __init__(
        self, wave: TokenToWave, flow: CausalFlow, prompt: FlowPrompt, generator: torch.Generator, speed: float
    ) -> None:
        super().__init__()
        self._wave, self._flow, self._prompt = wave, flow, prompt
        self._unit = self._hop = flow.estimator.chunk // flow.ratio
        self._vocoder = VocoderStream(wave.vocoder, children(generator)[1])
        self._stretch = Stretch(speed)
        self._until = self._first()
        self._pasts: list[Past] | None = None
        if not flow.estimator.resamples:
            self._pasts = [Past() for _ in flow.solver.times]
        self._made = 0  # frames of the target

    def _first(self) -> int:
        """Tokens up to the end of the first mask chunk with something to send."""
        known = self._prompt.tokens.shape[1]
        least = self._prompt.mel.shape[1] + (self._vocoder.delay + LEAST_FIRST_FRAMES) * self._stretch.speed
        end = self._unit
        while end <= known or end * self._flow.ratio < least:
            end += self._unit
        return end - known

    def _needed(self) -> int:
        return self._until + self._flow.ahead

    def _chunk(self) -> Tensor:
        mel = self._mel(self.tokens[: self._needed()], final=False)
        self._until += self._hop
        self._hop = min(2 * self._hop, LARGEST_HOP * self._unit)
        return self._vocoder.feed(self._stretch.feed(mel))

    def _rest(self) -> Tensor:
        mel = self._mel(self.tokens, final=True)
        return self._vocoder.feed(self._stretch.finish(mel), final=True)

    def _mel(self, tokens: list[int], final: bool) -> Tensor:
        """The target's frames since the last call, (1, 80, F)."""
        batch = self._wave.batch(tokens)
        frames = self._prompt.tokens.shape[1] + len(tokens) - (0 if final else self._flow.ahead)
        if self._pasts is not None and self._memory(frames * self._flow.ratio) > MEMORY.get(batch.device.type, 1 << 30):
            self._pasts = None
        if self._pasts is None:
            mel = self._flow.mel(batch, self._prompt, final=final, chunked=True)[:, :, self._made :]
        else:
            start = self._pasts[0].frames
            mel = self._flow.more_mel(batch, self._prompt, self._pasts, final=final)
            mel = mel[:, :, max(0, self._prompt.mel.shape[1] - start) :]
        self._made += mel.shape[2]
        return mel

    def _memory(self, frames: int) -> int:
        """Bytes of `Past` for so many frames."""
        estimator = self._flow.estimator
        numbers = 2 * len(self._flow.solver.times) * frames * estimator.memory_per_frame()
        return int(numbers * self._flow.encoder_dtype.itemsize)


class ConsistentV1(WaveStream):
    """Generation 1: a short first chunk, then chunks of two seconds; neighbours share 20 tokens."""

    def __init__(
        self, wave: TokenToWave, flow: FlowV1, prompt: FlowPrompt, generator: torch.Generator, speed: float
    ) -> None:
        super().__init__()
        self._wave, self._flow, self._prompt = wave, flow, prompt
        self._flow_draws, source_draws = children(generator)
        self._vocoder = VocoderStream(wave.vocoder, source_draws)
        self._stretch = Stretch(speed)
        self._overlap = flow.frames(EDGE)
        self._rise = (torch.arange(self._overlap, device=wave.device) + 0.5) / self._overlap
        self._hop, self._largest = FIRST_HOP_V1, 2 * flow.token_rate
        self._done = 0
        self._kept: tuple[Tensor, Tensor] | None = None  # noise (1, 80, M + overlap), mu (1, M + overlap, 80)
        self._tail: Tensor | None = None

    def _needed(self) -> int:
        return self._done + self._hop + EDGE

    def _chunk(self) -> Tensor:
        mel = self._mel(self.tokens[self._done : self._needed()])
        self._tail = mel[:, :, -self._overlap :]
        self._done += self._hop
        self._hop = min(2 * self._hop, self._largest)
        return self._vocoder.feed(self._stretch.feed(mel[:, :, : -self._overlap]))

    def _rest(self) -> Tensor:
        mel = self._mel(self.tokens[self._done :])
        return self._vocoder.feed(self._stretch.finish(mel), final=True)

    def _mel(self, tokens: list[int]) -> Tensor:
        """The mel of one chunk (1, 80, F), with the chunk before faded into its head."""
        mu = self._flow.mu(self._wave.batch(tokens), self._prompt)
        prompt, known = self._prompt.mel.shape[1], 0
        if self._kept is not None:
            known = self._kept[0].shape[2]
            mu[:, :known] = self._kept[1]
        noise = frame_noise(mu.shape[1] - known, self._flow.bands, self._flow_draws).to(mu.device)
        if self._kept is not None:
            noise = torch.cat([self._kept[0], noise], dim=2)
        self._kept = (
            torch.cat([noise[:, :, :prompt], noise[:, :, -self._overlap :]], dim=2),
            torch.cat([mu[:, :prompt], mu[:, -self._overlap :]], dim=1),
        )
        mel = self._flow.solve(mu, self._prompt, noise)
        if self._tail is not None:
            head = mel[:, :, : self._overlap] * self._rise + self._tail * (1 - self._rise)
            mel = torch.cat([head, mel[:, :, self._overlap :]], dim=2)
        return mel
