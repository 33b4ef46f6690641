"""Streaming as CosyVoice's own code does it, for who wants its exact samples.

Two of its traits are audible: at each seam two Hamming halves are added whose sum is 1.08, and in generation 2 the last
chunk is made by a pass that sees everything, so that it does not continue what was sent. One is not kept: the hop there
is shared between requests and only grows; here each request starts anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hub_cosyvoice.draws import Draws, children, frame_noise
from hub_cosyvoice.flow import CausalFlow, FlowV1, Speaker
from hub_cosyvoice.flow.regulator import EDGE
from hub_cosyvoice.streaming.base import WaveStream

if TYPE_CHECKING:
    from hub_cosyvoice.wave import TokenToWave

LARGEST_HOP = 4
"""Of the first hop, to which hops double in generations 2 and 3."""

FADED_FRAMES = {1: 20, 2: 8}
"""Mel frames that two chunks of samples have in common."""

FLOW_MEMORY = 34
"""Frames whose noise and conditions generation 1 repeats in the next chunk, whatever the token rate."""


def fade(new: Tensor, old: Tensor, frames: int) -> Tensor:
    """Cross-fade the last `frames` of `old` into the first of `new` with the two halves of a Hamming window."""
    window = torch.hamming_window(2 * frames, periodic=False, dtype=torch.float64, device=new.device)
    new = new.clone()
    mixed = new[..., :frames] * window[:frames] + old[..., -frames:] * window[frames:]
    new[..., :frames] = mixed.to(new.dtype)
    return new


class Official(WaveStream):
    """What the three have in common. `mels` keeps the flow's results of the calls so far if somebody asks (tests)."""

    def __init__(
        self, wave: TokenToWave, speaker: Speaker, generator: torch.Generator, draws: Sequence[Draws] | None
    ) -> None:
        super().__init__()
        self.wave, self.speaker = wave, speaker
        self.mels: list[Tensor] | None = None
        self._flow_draws, self._source_draws = children(generator)
        self._draws = iter(draws) if draws is not None else None

    def _next_draws(self) -> Draws:
        return Draws() if self._draws is None else next(self._draws)

    def _seen(self, mel: Tensor) -> None:
        if self.mels is not None:
            self.mels.append(mel)


class _Vocoded:
    """The vocoder of generations 1 and 2 over chunks: cached frames in front, cached source put in, results faded."""

    def __init__(self, wave: TokenToWave, generator: torch.Generator, frames: int) -> None:
        self._wave, self._generator = wave, generator
        self._frames, self._samples = frames, frames * wave.vocoder.hop
        self._mel: Tensor | None = None
        self._source = self._speech = torch.zeros(0)

    def __call__(self, mel: Tensor, draws: Draws, final: bool) -> Tensor:
        """Further mel (1, 80, F) -> samples (N,); the last ones are held back unless `final`."""
        if self._mel is not None:
            mel = torch.cat([self._mel, mel], dim=2)
        vocoder, maker = self._wave.vocoder, self._wave.vocoder.m_source
        phases = draws.phases_of(maker, self._generator).to(mel.device)
        noise = draws.noise_of(maker, mel.shape[2], self._generator).to(mel.device)
        source = maker(vocoder.f0_predictor(mel), phases, noise)
        if self._mel is not None:
            source[:, :, : self._source.shape[2]] = self._source
        speech = vocoder(mel, source)
        if self._mel is not None:
            speech = fade(speech, self._speech, self._samples)
        if final:
            return speech[0]
        self._mel = mel[:, :, -self._frames :]
        self._source, self._speech = source[:, :, -self._samples :], speech[:, -self._samples :]
        return speech[0, : -self._samples]


class OfficialV1(Official):
    """Chunks of two seconds with 20 tokens of overlap; each call flows over its own tokens only."""

    def __init__(
        self, wave: TokenToWave, speaker: Speaker, generator: torch.Generator, draws: Sequence[Draws] | None = None
    ) -> None:
        super().__init__(wave, speaker, generator, draws)
        assert isinstance(wave.flow, FlowV1)
        self._flow = wave.flow
        self._hop = 2 * wave.flow.token_rate
        self._overlap = wave.flow.frames(EDGE)
        self._done = 0
        self._kept: tuple[Tensor, Tensor] | None = None  # noise (1, 80, M + 34), mu (1, M + 34, 80)
        self._tail: Tensor | None = None  # mel (1, 80, overlap)
        self._vocoded = _Vocoded(wave, self._source_draws, FADED_FRAMES[1])

    def _needed(self) -> int:
        return self._done + self._hop + EDGE

    def _chunk(self) -> Tensor:
        samples = self._call(self.tokens[self._done : self._needed()], final=False)
        self._done += self._hop
        return samples

    def _rest(self) -> Tensor:
        return self._call(self.tokens[self._done :], final=True)

    def _call(self, tokens: Sequence[int], final: bool) -> Tensor:
        draws = self._next_draws()
        mel = self._flowed(self.wave.row(tokens), draws)
        self._seen(mel)
        if self._tail is not None:
            mel = fade(mel, self._tail, self._overlap)
        if not final:
            # The vocoder's cached frames lie in front of mel when the tail is cut, which does not change the tail.
            self._tail = mel[:, :, -self._overlap :]
            mel = mel[:, :, : -self._overlap]
        return self._vocoded(mel, draws, final)

    def _flowed(self, row: Tensor, draws: Draws) -> Tensor:
        mu = self._flow.mu(row, self.speaker)
        noise = draws.flow_noise
        if noise is None:
            noise = frame_noise(mu.shape[1], self._flow.bands, self._flow_draws)
        noise = noise.to(mu.device).clone()
        if self._kept is not None:
            size = self._kept[0].shape[2]
            noise[:, :, :size], mu[:, :size] = self._kept
        prompt = self.speaker.mel.shape[1]
        self._kept = (
            torch.cat([noise[:, :, :prompt], noise[:, :, -FLOW_MEMORY:]], dim=2),
            torch.cat([mu[:, :prompt], mu[:, -FLOW_MEMORY:]], dim=1),
        )
        return self._flow.solve(mu, self.speaker, noise)


class Growing(Official):
    """Generations 2 and 3: each call flows over everything so far; the hop doubles from one mask chunk to four."""

    def __init__(
        self, wave: TokenToWave, speaker: Speaker, generator: torch.Generator, draws: Sequence[Draws] | None = None
    ) -> None:
        super().__init__(wave, speaker, generator, draws)
        assert isinstance(wave.flow, CausalFlow)
        self._flow = wave.flow
        self._done = 0
        self.begin(wave.config.chunk_size)

    def begin(self, hop: int) -> None:
        """Set the first hop, in tokens; for who wants another than the yaml's (tests), before any token is fed."""
        self._hop = self._first = hop
        self._pad = -self.speaker.tokens.shape[1] % hop

    def _step(self) -> int:
        """Tokens of the next chunk; with the first, prompt and target end at a chunk of the mask."""
        return self._hop if self._done else self._hop + self._pad

    def _needed(self) -> int:
        return self._done + self._step() + self._flow.ahead

    def _chunk(self) -> Tensor:
        samples = self._call(self.tokens[: self._needed()], final=False)
        self._done += self._step()
        self._hop = min(2 * self._hop, LARGEST_HOP * self._first)
        return samples

    def _rest(self) -> Tensor:
        return self._call(self.tokens, final=True)

    def _call(self, tokens: Sequence[int], final: bool) -> Tensor:
        draws = self._next_draws()
        row = self.wave.row(tokens)
        mel = self._flow.mel(row, self.speaker, final=final, chunked=not final, noise=draws.flow_noise)
        self._seen(mel)
        return self._voice(mel[:, :, self._done * self._flow.ratio :], draws, final)

    def _voice(self, mel: Tensor, draws: Draws, final: bool) -> Tensor:
        """New frames (1, 80, F) -> samples (N,)."""
        raise NotImplementedError


class OfficialV2(Growing):
    """With the vocoder of generation 2: chunks of samples are faded into each other."""

    def __init__(
        self, wave: TokenToWave, speaker: Speaker, generator: torch.Generator, draws: Sequence[Draws] | None = None
    ) -> None:
        super().__init__(wave, speaker, generator, draws)
        self._vocoded = _Vocoded(wave, self._source_draws, FADED_FRAMES[2])

    def _voice(self, mel: Tensor, draws: Draws, final: bool) -> Tensor:
        return self._vocoded(mel, draws, final)


class OfficialV3(Growing):
    """With the causal vocoder of generation 3: it runs over all mel again, and only what is new is sent."""

    def __init__(
        self, wave: TokenToWave, speaker: Speaker, generator: torch.Generator, draws: Sequence[Draws] | None = None
    ) -> None:
        super().__init__(wave, speaker, generator, draws)
        source = wave.vocoder.m_source
        self._mel = torch.zeros(1, self._flow.bands, 0, device=wave.device)
        self._phases = source.phases(self._source_draws)
        self._noise = source.draws(0, self._source_draws)
        self._sent = 0

    def _voice(self, mel: Tensor, draws: Draws, final: bool) -> Tensor:
        vocoder = self.wave.vocoder
        self._mel = torch.cat([self._mel, mel], dim=2)
        pitch = vocoder.f0_predictor(self._mel, final)
        missing = pitch.shape[1] - self._noise.shape[1] // vocoder.hop
        self._noise = torch.cat([self._noise, vocoder.m_source.draws(max(0, missing), self._source_draws)], dim=1)
        phases = self._phases if draws.phase is None else draws.phase
        noise = (self._noise if draws.noise is None else draws.noise)[:, : pitch.shape[1] * vocoder.hop]
        source = vocoder.m_source(pitch, phases.to(mel.device), noise.to(mel.device))
        samples = vocoder(self._mel[:, :, : pitch.shape[1]], source, final)[0, self._sent :]
        self._sent += len(samples)
        return samples
