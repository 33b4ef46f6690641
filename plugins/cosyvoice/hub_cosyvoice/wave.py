"""Flow and vocoder of one model together: speech tokens and a prompt -> samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from hub_cosyvoice.config import Config
from hub_cosyvoice.draws import NONE, Draws, children, frame_noise
from hub_cosyvoice.flow import CausalFlow, Flow, FlowV1, Speaker, load_flow
from hub_cosyvoice.prompt import Prompt
from hub_cosyvoice.streaming import ConsistentV1, ConsistentV2, OfficialV1, OfficialV2, OfficialV3, WaveStream
from hub_cosyvoice.vocoder import Generator, load_vocoder

Scheme = Literal["consistent", "official"]


class TokenToWave:
    """Read-only once it is made, so that requests may share it; what belongs to a request lives in its WaveStream."""

    def __init__(self, config: Config, flow: Flow, vocoder: Generator, device: torch.device) -> None:
        self.config, self.flow, self.vocoder, self.device = config, flow, vocoder, device
        self.sample_rate = config.sample_rate

    @torch.inference_mode()
    def whole(
        self,
        tokens: Sequence[int] | Tensor,
        prompt: Prompt,
        *,
        generator: torch.Generator,
        speed: float = 1.0,
        draws: Draws | None = None,
    ) -> Tensor:
        """All of an utterance (T,) at once -> samples (N,) float32 on the CPU. `speed` stretches the mel."""
        flow_draws, source_draws = children(generator)
        draws = draws or NONE
        if not len(tokens):
            return torch.zeros(0)
        mel = self.mel(tokens, prompt, flow_draws, draws)
        if speed != 1.0:
            mel = F.interpolate(mel, size=max(1, int(mel.shape[2] / speed)), mode="linear")
        return self.sound(mel, source_draws, draws)[0].cpu()

    def mel(
        self, tokens: Sequence[int] | Tensor, prompt: Prompt, generator: torch.Generator, draws: Draws = NONE
    ) -> Tensor:
        """The target's mel (1, 80, F), every frame seeing all others."""
        speaker = self.speaker(prompt)
        row = self.row(tokens)
        if isinstance(self.flow, FlowV1):
            mu = self.flow.mu(row, speaker)
            noise = draws.flow_noise
            if noise is None:
                noise = frame_noise(mu.shape[1], self.flow.bands, generator)
            return self.flow.solve(mu, speaker, noise.to(self.device))
        assert isinstance(self.flow, CausalFlow)
        return self.flow.mel(row, speaker, final=True, chunked=False, noise=draws.flow_noise)

    def sound(self, mel: Tensor, generator: torch.Generator, draws: Draws = NONE) -> Tensor:
        """mel (1, 80, F) -> samples (1, F * hop)."""
        if mel.shape[2] == 0:
            return mel.new_zeros(1, 0)
        source = self.vocoder.m_source
        phases = draws.phases_of(source, generator)
        noise = draws.noise_of(source, mel.shape[2], generator)
        pitch = self.vocoder.f0_predictor(mel)
        return self.vocoder(mel, source(pitch, phases.to(self.device), noise.to(self.device)))

    def stream(
        self,
        prompt: Prompt,
        *,
        generator: torch.Generator,
        scheme: Scheme = "consistent",
        speed: float = 1.0,
        draws: Sequence[Draws] | None = None,
    ) -> WaveStream:
        """A new stream of tokens. ValueError for the official scheme with a `speed`, which it does not have."""
        if scheme == "consistent":
            consistent = ConsistentV1 if isinstance(self.flow, FlowV1) else ConsistentV2
            return consistent(self, self.speaker(prompt), generator, speed)
        if speed != 1.0:
            raise ValueError("the official streaming scheme has no speed")
        official = {1: OfficialV1, 2: OfficialV2, 3: OfficialV3}[self.config.generation]
        return official(self, self.speaker(prompt), generator, draws)

    def speaker(self, prompt: Prompt) -> Speaker:
        """A prompt where the flow computes."""
        return Speaker(
            tokens=prompt.tokens[None].to(self.device),
            mel=prompt.mel[None].to(self.device, self.flow.encoder_dtype),
            embedding=prompt.embedding[None].to(self.device),
        )

    def row(self, tokens: Sequence[int] | Tensor) -> Tensor:
        """Tokens (T,) as a row (1, T) where the flow computes."""
        return torch.as_tensor(tokens, dtype=torch.long).reshape(1, -1).to(self.device)


def load_wave(folder: Path, config: Config, device: torch.device, dtype: torch.dtype) -> TokenToWave:
    """`flow.pt` (in `dtype`) and `hift.pt` (in float32) of a checkpoint. Raises CheckpointError if they do not fit."""
    return TokenToWave(config, load_flow(folder, config, device, dtype), load_vocoder(folder, config, device), device)
