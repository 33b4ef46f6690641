"""Flow and vocoder of one model together: speech tokens and a prompt -> samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hub_cosyvoice.config import Config
from hub_cosyvoice.draws import NONE, Draws, children, frame_noise
from hub_cosyvoice.model.acoustic_prompt import AcousticPrompt
from hub_cosyvoice.model.flow.flow import AnyFlow, FlowPrompt, FlowV1
from hub_cosyvoice.model.vocoder.generator import Generator


class TokenToWave:
    """Read-only once it is made, so that requests may share it; a stream keeps its state in its WaveStream."""

    def __init__(self, config: Config, flow: AnyFlow, vocoder: Generator, device: torch.device) -> None:
        self.config, self.flow, self.vocoder, self.device = config, flow, vocoder, device

    @torch.inference_mode()
    def whole(
        self,
        tokens: Sequence[int] | Tensor,
        prompt: AcousticPrompt,
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
        self, tokens: Sequence[int] | Tensor, prompt: AcousticPrompt, generator: torch.Generator, draws: Draws = NONE
    ) -> Tensor:
        """The target's mel (1, 80, F), every frame seeing all others."""
        given = self.flow_prompt(prompt)
        batch = self.batch(tokens)
        flow, noise = self.flow, draws.flow_noise
        if isinstance(flow, FlowV1):
            mu = flow.mu(batch, given)
            if noise is None:
                noise = frame_noise(mu.shape[1], flow.bands, generator)
            return flow.solve(mu, given, noise.to(self.device))
        return flow.mel(batch, given, final=True, chunked=False, noise=noise)

    def sound(self, mel: Tensor, generator: torch.Generator, draws: Draws = NONE) -> Tensor:
        """mel (1, 80, F) -> samples (1, F * hop) on the vocoder's device."""
        mel = mel.to(self.vocoder.device)
        if mel.shape[2] == 0:
            return mel.new_zeros(1, 0)
        source = self.vocoder.m_source
        phases = draws.phases_of(source, generator)
        noise = draws.noise_of(source, mel.shape[2], generator)
        pitch = self.vocoder.f0_predictor(mel)
        return self.vocoder(mel, source(pitch, phases.to(mel.device), noise.to(mel.device)))

    def flow_prompt(self, prompt: AcousticPrompt) -> FlowPrompt:
        """A prompt on the flow's device."""
        return FlowPrompt(
            tokens=prompt.tokens[None].to(self.device),
            mel=prompt.mel[None].to(self.device, self.flow.encoder_dtype),
            embedding=prompt.embedding[None].to(self.device),
        )

    def batch(self, tokens: Sequence[int] | Tensor) -> Tensor:
        """Tokens (T,) as a batch of one (1, T) on the flow's device."""
        return torch.as_tensor(tokens, dtype=torch.long).reshape(1, -1).to(self.device)
