"""The excitation of the vocoder: pitch -> a source signal of harmonics and noise, sample by sample.

The draws are explicit, and each belongs to a position, so that the source of some frames does not depend on the cuts
between calls. Only the phase goes on from frame to frame; a `Carry` takes it along.

Everything stays in float32, as in the models' own code: phases reach 1e4 to 1e5 rad, where the rounding is part of the
result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kind = Literal["sample", "linear", "nearest"]
"""The way of making phases: at the sample rate (22.05 kHz models), or at the frame rate and interpolated (24 kHz;
`nearest` in the causal vocoder of generation 3)."""


@dataclass
class Carry:
    """The memory of a stream: the phases in cycles (1, H, 1) float64, or the pitch of all frames so far (1, F)."""

    cycles: Tensor | None = None
    pitch: list[Tensor] = field(default_factory=list)


class Source(nn.Module):
    """Harmonics and noise -> the source signal. Key `l_linear`, the weights of the harmonics."""

    def __init__(
        self, harmonics: int, sample_rate: int, hop: int, kind: Kind, amplitude: float, noise: float, threshold: float
    ) -> None:
        super().__init__()
        self.harmonics = harmonics + 1
        self.sample_rate, self.hop, self.kind = sample_rate, hop, kind
        self.amplitude, self.noise, self.threshold = amplitude, noise, threshold
        self.l_linear = nn.Linear(self.harmonics, 1)

    def draws(self, frames: int, generator: torch.Generator) -> Tensor:
        """The noise of so many further frames, (1, frames * hop, H): normal; uniform in 0..1 in generation 3."""
        shape = (1, frames * self.hop, self.harmonics)
        if self.kind == "nearest":
            return torch.rand(shape, generator=generator)
        return torch.randn(shape, generator=generator)

    def phases(self, generator: torch.Generator) -> Tensor:
        """Initial phases, (1, H): radians in -pi..pi for kind `sample`, else cycles; 0 for the first harmonic."""
        drawn = torch.rand(1, self.harmonics, generator=generator)
        if self.kind == "sample":
            drawn = (drawn * 2 - 1) * torch.pi
        drawn[:, 0] = 0
        return drawn

    def forward(self, f0: Tensor, phases: Tensor, noise: Tensor) -> Tensor:
        """A whole utterance: f0 (1, F) in Hz, phases (1, H), noise (1, F * hop, H) -> (1, 1, F * hop)."""
        return self.more(f0, phases, noise, Carry(), final=True)

    def more(self, f0: Tensor, phases: Tensor, noise: Tensor, carry: Carry, final: bool) -> Tensor:
        """Further frames f0 (1, F) -> the samples that are known now, (1, 1, M).

        Linear interpolation needs the next frame: unless `final`, the last half frame is held back, so that M is
        (F - 1) * hop + hop / 2 at first. `noise` must have the M positions of the result.
        """
        if self.kind == "sample":
            sines = self._sines_by_sample(f0, phases, carry)
            voiced = self._each_sample(f0 > self.threshold)
        else:
            sines, voiced = self._sines_by_frame(f0, carry, final)
        amount = torch.where(voiced, self.noise, self.amplitude / 3)
        waves = self.amplitude * sines * voiced + amount * noise
        return torch.tanh(self.l_linear(waves)).transpose(1, 2)

    def _each_sample(self, x: Tensor) -> Tensor:
        """(1, F) -> (1, F * hop, 1)."""
        return x.repeat_interleave(self.hop, dim=1)[..., None]

    def _sines_by_sample(self, f0: Tensor, phases: Tensor, carry: Carry) -> Tensor:
        multiples = torch.arange(1, self.harmonics + 1, device=f0.device, dtype=f0.dtype)
        steps = (self._each_sample(f0) * multiples / self.sample_rate).double()  # (1, M, H) cycles
        if carry.cycles is not None:
            steps[:, 0] += carry.cycles
        cycles = steps.cumsum(dim=1)
        carry.cycles = cycles[:, -1]
        angle = 2 * torch.pi * (cycles.float() % 1)
        return torch.sin(angle + phases[:, None].to(angle.device))

    def _sines_by_frame(self, f0: Tensor, carry: Carry, final: bool) -> tuple[Tensor, Tensor]:
        """Sines (1, M, H) and voicing (1, M, 1). Initial phases have no effect here: they miss every frame's middle."""
        before = sum(part.shape[1] for part in carry.pitch)
        start = self._known(before, final=False)
        carry.pitch.append(f0)
        pitch = torch.cat(carry.pitch, dim=1)
        end = self._known(pitch.shape[1], final)
        multiples = torch.arange(1, self.harmonics + 1, device=f0.device, dtype=f0.dtype)
        cycles = (pitch[..., None] * multiples / self.sample_rate) % 1  # (1, F, H)
        phase = cycles.cumsum(dim=1) * 2 * torch.pi * self.hop
        position = torch.arange(start, end, device=f0.device)
        voiced = (pitch > self.threshold)[:, position // self.hop, None]
        if self.kind == "nearest":
            return torch.sin(phase[:, position // self.hop]), voiced
        # In float32 and from the beginning of the utterance, as torch's interpolation computes it: the rounding of the
        # weight, times tens of radians between two frames, is part of the released models' sound.
        at = ((position.float() + 0.5) * (1.0 / self.hop) - 0.5).clamp(min=0)
        left = at.floor().long()
        weight = (at - left)[None, :, None]
        last = phase.shape[1] - 1
        lower, upper = phase[:, left.clamp(0, last)], phase[:, (left + 1).clamp(0, last)]
        return torch.sin(lower * (1 - weight) + upper * weight), voiced

    def _known(self, frames: int, final: bool) -> int:
        """The number of samples that so many frames determine."""
        if self.kind != "linear" or final or not frames:
            return frames * self.hop
        return frames * self.hop - (self.hop - self.hop // 2)


class PitchPredictor(nn.Module):
    """Mel (1, 80, F) -> pitch (1, F) in Hz, |linear| over five convolutions with ELU. Keys `condnet.N`, `classifier`.

    `causal`: the first convolution looks three frames right, the others only left. It runs in float64, because
    the phase of a whole stream depends on it.
    """

    def __init__(self, bands: int, width: int, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        kernels = [4, 3, 3, 3, 3] if causal else [3] * 5
        layers: list[nn.Module] = []
        for index, kernel in enumerate(kernels):
            padding = 0 if causal else kernel // 2
            layers += [nn.Conv1d(width if index else bands, width, kernel, padding=padding), nn.ELU()]
        self.condnet = nn.Sequential(*layers)
        self.classifier = nn.Linear(width, 1)
        self.right = 3 if causal else 5
        """Frames to the right that a frame depends on; as many to the left, or 8 in the causal form."""
        self.left = 8 if causal else 5

    def forward(self, mel: Tensor, final: bool = True) -> Tensor:
        """(1, 80, F) -> (1, F); causal and not `final`: (1, F - 3), the last three frames being look-ahead."""
        if not self.causal:
            return self._pitch(self.condnet(mel))
        x = mel.double()
        x = F.elu(self.condnet[0](F.pad(x, (0, 3)) if final else x))
        for layer in self.condnet[2:]:
            x = layer(F.pad(x, (2, 0)) if isinstance(layer, nn.Conv1d) else x)
        return self._pitch(x).float()

    def _pitch(self, x: Tensor) -> Tensor:
        return self.classifier(x.transpose(1, 2)).squeeze(-1).abs()
