"""The flow-matching transformer of v3 and v4 (a DiT after F5-TTS), and its sampler.

A "shortcut" model: the size of the step is one of its inputs, so that few steps are enough. Rotary positions apply only
to the first 64 channels before the heads are split, that is to head 0 alone: the files were trained like that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub.nn.attention import attend

HEAD = 64
MEL = 100
MAX_POSITION = 4096
TIME_CHANNELS = 256
CONV_GROUPS = 16


class TimeEmbedding(nn.Module):
    """(B,) in 0..1 -> (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.time_mlp = nn.Sequential(nn.Linear(TIME_CHANNELS, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor) -> Tensor:
        half = TIME_CHANNELS // 2
        rates = torch.exp(torch.arange(half, device=time.device).float() * -(math.log(10000) / (half - 1)))
        angles = 1000 * time.float().unsqueeze(1) * rates
        return self.time_mlp(torch.cat([angles.sin(), angles.cos()], -1).to(time.dtype))


class ResponseNorm(nn.Module):
    """Global response norm over time."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, width))
        self.beta = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        size = x.norm(dim=1, keepdim=True)
        return self.gamma * (x * (size / (size.mean(-1, keepdim=True) + 1e-6))) + self.beta + x


class ConvNext(nn.Module):
    """ConvNeXt V2 block over (B, T, C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv1d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pwconv1 = nn.Linear(width, 2 * width)
        self.grn = ResponseNorm(2 * width)
        self.pwconv2 = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x.transpose(1, 2)).transpose(1, 2))
        return x + self.pwconv2(self.grn(F.gelu(self.pwconv1(y))))


class FeatureEmbedding(nn.Module):
    """Conditioning features (B, T, C) with absolute positions, through ConvNeXt blocks."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.width = width
        self.text_blocks = nn.Sequential(*(ConvNext(width) for _ in range(blocks)))

    def forward(self, features: Tensor) -> Tensor:
        rates = 1.0 / (10000 ** (torch.arange(0, self.width, 2, device=features.device).float() / self.width))
        positions = torch.arange(features.shape[1], device=features.device).clamp(max=MAX_POSITION - 1)
        angles = torch.outer(positions.float(), rates)
        return self.text_blocks(features + torch.cat([angles.cos(), angles.sin()], -1).to(features.dtype))


class InputEmbedding(nn.Module):
    """Noisy mel, prompt mel and features, joined, with convolutional positions."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(2 * MEL + features, width)
        convolutions = [nn.Conv1d(width, width, 31, padding=15, groups=CONV_GROUPS) for _ in range(2)]
        layers = nn.Sequential(convolutions[0], nn.Mish(), convolutions[1], nn.Mish())
        self.conv_pos_embed = nn.ModuleDict({"conv1d": layers})

    def forward(self, x: Tensor, prompt: Tensor, features: Tensor) -> Tensor:
        x = self.proj(torch.cat([x, prompt, features], -1))
        return self.conv_pos_embed["conv1d"](x.transpose(1, 2)).transpose(1, 2) + x


class Modulation(nn.Module):
    """`parts` vectors of a time embedding: shifts, scales and gates."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.linear = nn.Linear(width, parts * width)

    def forward(self, time: Tensor) -> list[Tensor]:
        return [part.unsqueeze(1) for part in self.linear(F.silu(time)).chunk(self.parts, 1)]


class SelfAttention(nn.Module):
    """Full self-attention, (B, T, C). Its heads of 64 channels are `together` wide, which need not be C."""

    def __init__(self, width: int, together: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(width, together)
        self.to_k = nn.Linear(width, together)
        self.to_v = nn.Linear(width, together)
        self.to_out = nn.ModuleList([nn.Linear(together, width)])

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        query, key, value = self.to_q(x), self.to_k(x), self.to_v(x)
        query, key = rotate_first(query, *angles), rotate_first(key, *angles)
        query, key, value = (one.unflatten(-1, (-1, HEAD)).transpose(1, 2) for one in (query, key, value))
        out = attend(query, key, value, mask=mask)
        return self.to_out[0](out.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and feed-forward, each modulated by the time (adaLN-zero)."""

    def __init__(self, width: int, together: int, inner: int) -> None:
        super().__init__()
        self.attn_norm = Modulation(width, 6)
        self.attn = SelfAttention(width, together)
        layers = nn.Sequential(nn.Linear(width, inner), nn.GELU(approximate="tanh"))
        self.ff = nn.ModuleDict({"ff": nn.Sequential(layers, nn.Identity(), nn.Linear(inner, width))})

    def forward(self, x: Tensor, time: Tensor, angles: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        shift, scale, gate, shift_2, scale_2, gate_2 = self.attn_norm(time)
        x = x + gate * self.attn(_normed(x) * (1 + scale) + shift, angles, mask)
        return x + gate_2 * self.ff["ff"](_normed(x) * (1 + scale_2) + shift_2)


class RotaryFrequencies(nn.Module):
    """A buffer of the files, where it is rounded to half precision; a recomputed one would change the result."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("inv_freq", torch.zeros(HEAD // 2))
        self.inv_freq: Tensor


class DiT(nn.Module):
    """Velocity of the flow. Widths and depth come from the weights (`cfm.estimator.` removed)."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        width = weights["proj_out.weight"].shape[1]
        features = weights["input_embed.proj.weight"].shape[1] - 2 * MEL
        self.time_embed = TimeEmbedding(width)
        self.d_embed = TimeEmbedding(width)
        self.text_embed = FeatureEmbedding(features, _count(weights, "text_embed.text_blocks."))
        self.input_embed = InputEmbedding(features, width)
        self.rotary_embed = RotaryFrequencies()
        inner = weights["transformer_blocks.0.ff.ff.0.0.weight"].shape[0]
        together = weights["transformer_blocks.0.attn.to_q.weight"].shape[0]
        depth = _count(weights, "transformer_blocks.")
        self.transformer_blocks = nn.ModuleList(Block(width, together, inner) for _ in range(depth))
        self.norm_out = Modulation(width, 2)
        self.proj_out = nn.Linear(width, MEL)

    def forward(
        self, x: Tensor, prompt: Tensor, features: Tensor, time: Tensor, step: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """x and prompt (B, T, 100), embedded features (B, T, C), embedded `step` (B, W), time (B,) -> (B, T, 100)."""
        x = self.input_embed(x, prompt, features)
        time = self.time_embed(time) + step
        angles = self.angles(x.shape[1], x.dtype)
        for block in self.transformer_blocks:
            x = block(x, time, angles, mask)
        scale, shift = self.norm_out(time)
        return self.proj_out(_normed(x) * (1 + scale) + shift)

    def angles(self, length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines of the rotary positions, each (length, 64)."""
        rates = self.rotary_embed.inv_freq.float()
        angles = torch.outer(torch.arange(length, device=rates.device).float(), rates).repeat_interleave(2, -1)
        return angles.cos().to(dtype), angles.sin().to(dtype)


@torch.inference_mode()
def sample_mel(dit: DiT, features: Tensor, prompt: Tensor, noise: Tensor, steps: int) -> Tensor:
    """Euler steps from `noise` (B, 100, T) to mel (B, 100, T), which is zero over the prompt.

    `features` (B, T, C); `prompt` (B or 1, 100, P) with P <= T. Inputs that stay the same are embedded once.
    """
    size = prompt.shape[-1]
    x = noise.transpose(1, 2).clone()
    x[:, :size] = 0
    known = torch.zeros_like(x)
    known[:, :size] = prompt.transpose(1, 2)
    embedded = dit.text_embed(features)
    step = dit.d_embed(x.new_full((1,), 1 / steps))
    time = 0.0
    for _ in range(steps):
        x = x + dit(x, known, embedded, x.new_full((1,), time), step) / steps
        x[:, :size] = 0
        time += 1 / steps
    return x.transpose(1, 2)


def rotate_first(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate neighbouring pairs of the first 64 channels of (B, T, C).

    Not `hub.nn.attention.rotate_interleaved`, which rotates in float32: here the angles are rounded to the type of `x`,
    and the rotation stays in it.
    """
    rotated, rest = x[..., :HEAD], x[..., HEAD:]
    pairs = rotated.unflatten(-1, (-1, 2))
    crossed = torch.stack([-pairs[..., 1], pairs[..., 0]], -1).flatten(-2)
    return torch.cat([rotated * cosine + crossed * sine, rest], -1)


def _normed(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    """The number of numbered members under `prefix`."""
    return len({name[len(prefix) :].split(".")[0] for name in weights if name.startswith(prefix)})
