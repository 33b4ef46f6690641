"""The flow of each generation: speech tokens and a prompt -> mel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hub_cosyvoice.model.flow.conformer import chunk_mask
from hub_cosyvoice.model.flow.encoders import Encoder, Lookahead, UpsamplingEncoder
from hub_cosyvoice.model.flow.past import Past
from hub_cosyvoice.model.flow.regulator import EDGE, LengthRegulator
from hub_cosyvoice.model.flow.solver import Pass, Solver, fixed_noise


@dataclass(frozen=True)
class FlowPrompt:
    """A speaker on the flow's device: tokens (1, P), mel (1, F, 80), embedding (1, 192)."""

    tokens: Tensor
    mel: Tensor
    embedding: Tensor


class Flow(nn.Module):
    """The parts of all generations: token embeddings, the speaker's projection, and the conditions of the estimator."""

    solver: Solver
    run: Pass

    def __init__(self, vocabulary: int, width: int, speaker: int, bands: int, estimator: nn.Module) -> None:
        super().__init__()
        self.bands = bands
        self.input_embedding = nn.Embedding(vocabulary, width)
        self.spk_embed_affine_layer = nn.Linear(speaker, bands)
        self.decoder = nn.ModuleDict({"estimator": estimator})

    @property
    def estimator(self) -> Any:
        """The module that predicts velocities."""
        return self.decoder["estimator"]

    def prepare(self, guidance: float, cosine: bool, wrap: Callable[[Any], Pass] | None = None) -> None:
        """Compute all that depends on the weights alone, once they are loaded. `wrap` makes the estimator fast."""
        self.solver = Solver(self.estimator, guidance, cosine)
        self.run = self.estimator if wrap is None else wrap(self.estimator)

    @property
    def encoder_dtype(self) -> torch.dtype:
        """The type of the flow's weights."""
        return self.input_embedding.weight.dtype

    def embed(self, tokens: Tensor) -> Tensor:
        """Speech tokens (1, N) -> (1, N, D); ids below 0 count as 0."""
        return self.input_embedding(tokens.clamp(min=0))

    def speaker(self, embedding: Tensor) -> Tensor:
        """(1, 192) -> (1, 80)."""
        return self.spk_embed_affine_layer(F.normalize(embedding.to(self.spk_embed_affine_layer.weight.dtype), dim=1))

    def conditions(self, mu: Tensor, prompt: FlowPrompt) -> Any:
        """mu (1, T, 80) -> the estimator's conditions, of a batch of two: with mu, speaker and prompt, and without."""
        mu = mu.transpose(1, 2)
        known = torch.zeros_like(mu)
        frames = min(prompt.mel.shape[1], mu.shape[2])
        known[:, :, :frames] = prompt.mel[:, :frames].transpose(1, 2)
        speaker = self.speaker(prompt.embedding)
        both = (torch.cat([part, torch.zeros_like(part)]) for part in (mu, speaker, known))
        return self.estimator.conditions(*both)


class FlowV1(Flow):
    """Generation 1: full attention, a length regulator, fresh noise."""

    def __init__(
        self,
        vocabulary: int,
        width: int,
        speaker: int,
        bands: int,
        encoder: Encoder,
        encoder_width: int,
        regulator: LengthRegulator,
        estimator: nn.Module,
        token_rate: int,
        frame_rate: float,
    ) -> None:
        super().__init__(vocabulary, width, speaker, bands, estimator)
        self.encoder = encoder
        self.encoder_proj = nn.Linear(encoder_width, bands)
        self.length_regulator = regulator
        self.token_rate, self.frame_rate = token_rate, frame_rate

    def frames(self, tokens: int) -> int:
        """Mel frames of so many tokens."""
        return int(tokens / self.token_rate * self.frame_rate)

    def encode(self, tokens: Tensor) -> Tensor:
        """(1, N) -> (1, N, 80)."""
        return self.encoder_proj(self.encoder(self.embed(tokens)))

    def regulate(self, hidden: Tensor, prompt_tokens: int, prompt_frames: int, frames: int) -> Tensor:
        """Encoded prompt and target (1, P + N, 80) -> mu (1, prompt_frames + frames, 80)."""
        prompt, target = hidden[:, :prompt_tokens], hidden[:, prompt_tokens:]
        return self.length_regulator(prompt, target, prompt_frames, frames, self.frames(EDGE))

    def mu(self, tokens: Tensor, prompt: FlowPrompt) -> Tensor:
        """Target tokens (1, N) -> (1, F + frames(N), 80) for prompt and target."""
        hidden = self.encode(torch.cat([prompt.tokens, tokens], dim=1))
        frames = self.frames(tokens.shape[1])
        return self.regulate(hidden, prompt.tokens.shape[1], prompt.mel.shape[1], frames)

    def solve(self, mu: Tensor, prompt: FlowPrompt, noise: Tensor) -> Tensor:
        """mu (1, T, 80), noise (1, 80, T) -> the target's mel (1, 80, T - F)."""
        mel = self.solver.solve(self.run, noise, self.conditions(mu, prompt), None)
        return mel[:, :, prompt.mel.shape[1] :]


class CausalFlow(Flow):
    """Generations 2 and 3: a few tokens of look-ahead, a fixed number of frames a token, fixed noise.

    `chunked` passes are chunk-causal: nothing depends on a later chunk. Other passes see everything.
    """

    ratio: int
    ahead: int

    def encode(self, tokens: Tensor, final: bool, chunked: bool) -> Tensor:
        """Prompt and target tokens (1, N) -> mu (1, frames, 80). Not `final`: the last `ahead` are look-ahead only."""
        raise NotImplementedError

    def mel(
        self, tokens: Tensor, prompt: FlowPrompt, *, final: bool, chunked: bool, noise: Tensor | None = None
    ) -> Tensor:
        """Target tokens (1, N) -> their mel (1, 80, frames), computed in one pass."""
        mu = self.encode(torch.cat([prompt.tokens, tokens], dim=1), final, chunked)
        noise = self.noise(0, mu.shape[1]) if noise is None else noise[:, :, : mu.shape[1]]
        mask = chunk_mask(mu.shape[1], self.estimator.chunk, mu.device) if chunked else None
        mel = self.solver.solve(self.run, noise.to(mu.device), self.conditions(mu, prompt), mask)
        return mel[:, :, prompt.mel.shape[1] :]

    def more_mel(
        self, tokens: Tensor, prompt: FlowPrompt, pasts: list[Past], *, final: bool, noise: Tensor | None = None
    ) -> Tensor:
        """The mel (1, 80, frames) after the frames in `pasts`; equals that part of a chunked `mel`.

        `tokens` (1, N) are all target tokens so far. The frames in `pasts` must end with a chunk.
        """
        mu = self.encode(torch.cat([prompt.tokens, tokens], dim=1), final, chunked=True)
        start, end = pasts[0].frames, mu.shape[1]
        noise = self.noise(start, end) if noise is None else noise[:, :, start:end]
        mask = chunk_mask(end, self.estimator.chunk, mu.device, start)
        conditions = self.conditions(mu, prompt).since(start)
        return self.solver.solve(self.estimator, noise.to(mu.device), conditions, mask, pasts)

    def noise(self, start: int, end: int) -> Tensor:
        """The fixed start noise of these frames, (1, 80, end - start). Requests may ask side by side."""
        noise = self._noise
        if noise.shape[2] < end:
            noise = self._noise = fixed_noise(end, self.bands)
        return noise[:, :, start:end]

    _noise: Tensor = torch.zeros(1, 0, 0)


class FlowV2(CausalFlow):
    """Generation 2: an upsampling conformer encoder and a causal U-Net."""

    def __init__(
        self,
        vocabulary: int,
        width: int,
        speaker: int,
        bands: int,
        encoder: UpsamplingEncoder,
        encoder_width: int,
        estimator: nn.Module,
    ) -> None:
        super().__init__(vocabulary, width, speaker, bands, estimator)
        self.encoder = encoder
        self.encoder_proj = nn.Linear(encoder_width, bands)
        self.ratio, self.ahead = encoder.stride, encoder.pre_lookahead_layer.ahead

    def encode(self, tokens: Tensor, final: bool, chunked: bool) -> Tensor:
        """(1, N) -> mu (1, frames, 80)."""
        embedded = self.embed(tokens)
        if final:
            return self.encoder_proj(self.encoder(embedded, None, chunked))
        return self.encoder_proj(self.encoder(embedded[:, : -self.ahead], embedded[:, -self.ahead :], chunked))


class FlowV3(CausalFlow):
    """Generation 3: only the look-ahead layer, then each row `ratio` times, and a diffusion transformer."""

    def __init__(
        self,
        vocabulary: int,
        width: int,
        speaker: int,
        bands: int,
        lookahead: Lookahead,
        estimator: nn.Module,
        ratio: int,
    ) -> None:
        super().__init__(vocabulary, width, speaker, bands, estimator)
        self.pre_lookahead_layer = lookahead
        self.ratio, self.ahead = ratio, lookahead.ahead

    def encode(self, tokens: Tensor, final: bool, chunked: bool) -> Tensor:
        """(1, N) -> mu (1, frames, 80)."""
        embedded = self.embed(tokens)
        if final:
            mu = self.pre_lookahead_layer(embedded)
        else:
            mu = self.pre_lookahead_layer(embedded[:, : -self.ahead], embedded[:, -self.ahead :])
        return mu.repeat_interleave(self.ratio, dim=1)


AnyFlow = FlowV1 | CausalFlow
