"""Streaming as CosyVoice's own code does it, for exactly its samples.

Two of its traits are audible: at each seam two Hamming halves are added whose sum is 1.08, and in generation 2 the last
chunk comes from a pass that sees everything, so that it does not continue the chunks before. One trait is left out: the
official hop is shared between requests and only grows; here each request starts with the first hop.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from hub_cosyvoice.draws import Draws, children, frame_noise
from hub_cosyvoice.model.flow.flow import CausalFlow, FlowPrompt, FlowV1
from hub_cosyvoice.model.flow.regulator import EDGE
from hub_cosyvoice.streaming.base import WaveStream
from hub_cosyvoice.wave import TokenToWave

LARGEST_HOP = 4
"""The largest hop in generations 2 and 3, as a multiple of the first; hops double up to it."""

FADED_FRAMES = {1: 20, 2: 8}
"""Mel frames of overlap between two chunks of samples."""

FLOW_MEMORY = 34
"""Frames whose noise and conditions generation 1 repeats in the next chunk, at any token rate."""


def fade(new: Tensor, old: Tensor, frames: int) -> Tensor:
    """Cross-fade the last `frames` of `old` into the first of `new` with the two halves of a Hamming window."""
    window = torch.hamming_window(2 * frames, periodic=False, dtype=torch.float64)
    if new.device.type != "mps":  # which has no float64
        window = window.to(new.device)
    rising, falling = new[..., :frames].to(window.device), old[..., -frames:].to(window.device)
    faded = rising * window[:frames] + falling * window[frames:]
    new = new.clone()
    new[..., :frames] = faded.to(new.dtype)
    return new


class Official(WaveStream):
    """The common base. If a test sets `mels` to a list, each call adds the flow's result to it."""

    def __init__(
        self, wave: TokenToWave, prompt: FlowPrompt, generator: torch.Generator, draws: Sequence[Draws] | None
    ) -> None:
        super().__init__()
        self.mels: list[Tensor] | None = None
        self._wave, self._prompt = wave, prompt
        self._flow_draws, self._source_draws = children(generator)
        self._draws = iter(draws) if draws is not None else None

    def _next_draws(self) -> Draws:
        return Draws() if self._draws is None else next(self._draws)

    def _note(self, mel: Tensor) -> None:
        if self.mels is not None:
            self.mels.append(mel)


class _FadedVocoder:
    """The vocoder of generations 1 and 2 over chunks: cached frames in front, the cached source, faded results."""

    def __init__(self, wave: TokenToWave, generator: torch.Generator, frames: int) -> None:
        self._wave, self._generator = wave, generator
        self._frames, self._samples = frames, frames * wave.vocoder.hop
        self._mel: Tensor | None = None
        self._source = self._speech = torch.zeros(0)

    def __call__(self, mel: Tensor, draws: Draws, final: bool) -> Tensor:
        """Further mel (1, 80, F) -> samples (N,); the last ones are held back unless `final`."""
        vocoder, source_of = self._wave.vocoder, self._wave.vocoder.m_source
        mel = mel.to(vocoder.device)
        if self._mel is not None:
            mel = torch.cat([self._mel, mel], dim=2)
        phases = draws.phases_of(source_of, self._generator).to(mel.device)
        noise = draws.noise_of(source_of, mel.shape[2], self._generator).to(mel.device)
        source = source_of(vocoder.f0_predictor(mel), phases, noise)
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
        self,
        wave: TokenToWave,
        flow: FlowV1,
        prompt: FlowPrompt,
        generator: torch.Generator,
        draws: Sequence[Draws] | None,
    ) -> None:
        super().__init__(wave, prompt, generator, draws)
        self._flow = flow
        self._hop = 2 * flow.token_rate
        self._overlap = flow.frames(EDGE)
        self._done = 0
        self._kept: tuple[Tensor, Tensor] | None = None  # noise (1, 80, M + 34), mu (1, M + 34, 80)
        self._tail: Tensor | None = None  # mel (1, 80, overlap)
        self._vocoder = _FadedVocoder(wave, self._source_draws, FADED_FRAMES[1])

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
        mel = self._mel(self._wave.batch(tokens), draws)
        self._note(mel)
        if self._tail is not None:
            mel = fade(mel, self._tail, self._overlap)
        if not final:
            # The official code puts the vocoder's cached frames in front before it cuts the tail: the tail is the same.
            self._tail = mel[:, :, -self._overlap :]
            mel = mel[:, :, : -self._overlap]
        return self._vocoder(mel, draws, final)

    def _mel(self, tokens: Tensor, draws: Draws) -> Tensor:
        mu = self._flow.mu(tokens, self._prompt)
        noise = draws.flow_noise
        if noise is None:
            noise = frame_noise(mu.shape[1], self._flow.bands, self._flow_draws)
        noise = noise.to(mu.device).clone()
        if self._kept is not None:
            size = self._kept[0].shape[2]
            noise[:, :, :size], mu[:, :size] = self._kept
        known = self._prompt.mel.shape[1]
        self._kept = (
            torch.cat([noise[:, :, :known], noise[:, :, -FLOW_MEMORY:]], dim=2),
            torch.cat([mu[:, :known], mu[:, -FLOW_MEMORY:]], dim=1),
        )
        return self._flow.solve(mu, self._prompt, noise)


class Growing(Official):
    """Generations 2 and 3: each call flows over everything so far; the hop doubles from one mask chunk to four."""

    def __init__(
        self,
        wave: TokenToWave,
        flow: CausalFlow,
        prompt: FlowPrompt,
        generator: torch.Generator,
        draws: Sequence[Draws] | None,
    ) -> None:
        super().__init__(wave, prompt, generator, draws)
        self._flow = flow
        self._done = 0
        self.begin(wave.config.chunk_size)

    def begin(self, hop: int) -> None:
        """Set the first hop, in tokens, to another one than the yaml's (tests), before the first token."""
        self._hop = self._first = hop
        self._pad = -self._prompt.tokens.shape[1] % hop

    def _step(self) -> int:
        """Tokens of the next chunk. The first one ends prompt and target at a chunk of the mask."""
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
        batch = self._wave.batch(tokens)
        mel = self._flow.mel(batch, self._prompt, final=final, chunked=not final, noise=draws.flow_noise)
        self._note(mel)
        return self._sound(mel[:, :, self._done * self._flow.ratio :].to(self._wave.vocoder.device), draws, final)

    @abstractmethod
    def _sound(self, mel: Tensor, draws: Draws, final: bool) -> Tensor:
        """New frames (1, 80, F) on the vocoder's device -> samples (N,)."""


class OfficialV2(Growing):
    """The stream with the vocoder of generation 2: chunks of samples are faded into each other."""

    def __init__(
        self,
        wave: TokenToWave,
        flow: CausalFlow,
        prompt: FlowPrompt,
        generator: torch.Generator,
        draws: Sequence[Draws] | None,
    ) -> None:
        super().__init__(wave, flow, prompt, generator, draws)
        self._vocoder = _FadedVocoder(wave, self._source_draws, FADED_FRAMES[2])

    def _sound(self, mel: Tensor, draws: Draws, final: bool) -> Tensor:
        return self._vocoder(mel, draws, final)


class OfficialV3(Growing):
    """The stream with the causal vocoder of generation 3, which runs over all mel again; only new samples are sent."""

    def __init__(
        self,
        wave: TokenToWave,
        flow: CausalFlow,
        prompt: FlowPrompt,
        generator: torch.Generator,
        draws: Sequence[Draws] | None,
    ) -> None:
        super().__init__(wave, flow, prompt, generator, draws)
        source = wave.vocoder.m_source
        self._mel = torch.zeros(1, flow.bands, 0, device=wave.vocoder.device)
        self._phases = source.phases(self._source_draws)
        self._noise = source.draws(0, self._source_draws)
        self._sent = 0

    def _sound(self, mel: Tensor, draws: Draws, final: bool) -> Tensor:
        vocoder = self._wave.vocoder
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
