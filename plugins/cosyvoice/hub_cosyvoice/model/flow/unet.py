"""The U-Nets of generations 1 and 2 that predict the flow's velocity.

Generation 1 convolves to both sides, normalises in groups over time and halves the rate inside. Generation 2 is causal:
a frame depends only on its own chunk and the chunks before, so that a stream can keep its frames (`Past`).

Values that stay the same over the Euler steps are computed once: the time embeddings of all steps once for a model, and
the first convolution's share of the conditions (`Conditions`) once for a request.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hub.nn.attention import attend
from hub_cosyvoice.model.flow.past import Past

TIME_SCALE = 1000
GROUPS = 8


def sinusoids(t: Tensor, width: int) -> Tensor:
    """Flow times (S,) in 0..1 -> (S, width): sines, then cosines."""
    half = width // 2
    rate = torch.exp(torch.arange(half, dtype=torch.float32, device=t.device) * (-math.log(10000) / (half - 1)))
    angle = TIME_SCALE * t[:, None] * rate
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


@dataclass(frozen=True)
class Conditions:
    """The shares of mu, speaker and prompt mel in the first block: each (B, C, T), without bias."""

    axis: ClassVar[int] = 2
    hidden: Tensor
    skip: Tensor

    def since(self, frame: int) -> Conditions:
        """The shares of the frames from `frame` on."""
        return Conditions(self.hidden[:, :, frame:], self.skip[:, :, frame:]) if frame else self


class Conv(nn.Conv1d):
    """A convolution that keeps the length: to the left only (causal), or to both sides."""

    def __init__(self, inputs: int, outputs: int, kernel: int, causal: bool) -> None:
        super().__init__(inputs, outputs, kernel, padding=0 if causal else kernel // 2)
        self.reach = kernel - 1 if causal else 0

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """(B, C, T) -> (B, D, T)."""
        return F.conv1d(self.padded(x, past), self.weight, self.bias, padding=self.padding)

    def padded(self, x: Tensor, past: Past | None) -> Tensor:
        """x with its left neighbours, if the convolution is causal."""
        if not self.reach:
            return x
        return F.pad(x, (self.reach, 0)) if past is None else past.with_left(x, self.reach)


class ConvBlock(nn.Module):
    """Convolution, norm, Mish. Keys `block.0` and `block.2` (causal: LayerNorm) or `block.1` (GroupNorm)."""

    def __init__(self, inputs: int, outputs: int, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        norm = nn.LayerNorm(outputs) if causal else nn.GroupNorm(GROUPS, outputs)
        self.block: Any = nn.ModuleDict({"0": Conv(inputs, outputs, 3, causal), ("2" if causal else "1"): norm})

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """(B, C, T) -> (B, D, T)."""
        return self.activate(self.block["0"](x, past))

    def first(self, x: Tensor, conditions: Tensor, past: Past | None) -> Tensor:
        """`forward` where only x (B, 80, T) is new and the other channels' share is known."""
        conv = self.block["0"]
        hidden = F.conv1d(conv.padded(x, past), conv.weight[:, : x.shape[1]], conv.bias, padding=conv.padding)
        return self.activate(hidden + conditions)

    def activate(self, hidden: Tensor) -> Tensor:
        """Norm and Mish."""
        if self.causal:
            return F.mish(self.block["2"](hidden.transpose(1, 2))).transpose(1, 2)
        return F.mish(self.block["1"](hidden))


class ResidualBlock(nn.Module):
    """Two ConvBlocks, the flow time added between them, a 1x1 skip. Keys `mlp.1`, `block1`, `block2`, `res_conv`."""

    def __init__(self, inputs: int, outputs: int, time_width: int, causal: bool) -> None:
        super().__init__()
        self.mlp: Any = nn.ModuleDict({"1": nn.Linear(time_width, outputs)})
        self.block1 = ConvBlock(inputs, outputs, causal)
        self.block2 = ConvBlock(outputs, outputs, causal)
        self.res_conv = nn.Conv1d(inputs, outputs, 1)

    def forward(self, x: Tensor, time: Tensor, past: Past | None) -> Tensor:
        """x (B, C, T), time (B or 1, D, 1) -> (B, D, T)."""
        return self.block2(self.block1(x, past) + time, past) + self.res_conv(x)

    def first(self, x: Tensor, conditions: Conditions, time: Tensor, past: Past | None) -> Tensor:
        """`forward` for the channels of the noisy mel x (B, 80, T); the others' share is in `conditions`."""
        hidden = self.block2(self.block1.first(x, conditions.hidden, past) + time, past)
        return hidden + F.conv1d(x, self.res_conv.weight[:, : x.shape[1]], self.res_conv.bias) + conditions.skip

    def conditions(self, constant: Tensor) -> Conditions:
        """The share of constant (B, C - 80, T), the channels after the noisy mel."""
        conv, skip = self.block1.block["0"], self.res_conv
        new = constant.shape[1]
        return Conditions(
            F.conv1d(conv.padded(constant, None), conv.weight[:, -new:], padding=conv.padding),
            F.conv1d(constant, skip.weight[:, -new:]),
        )


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and a GELU feed-forward of four times the width, as in diffusers.

    The released keys `attn1.to_q`, `to_k` and `to_v` are one matrix here.
    """

    def __init__(self, width: int, heads: int, head: int) -> None:
        super().__init__()
        self.heads, self.head = heads, head
        self.norm1 = nn.LayerNorm(width)
        self.attn1: Any = nn.ModuleDict(
            {
                "to_qkv": nn.Linear(width, 3 * heads * head, bias=False),
                "to_out": nn.ModuleList([nn.Linear(heads * head, width)]),
            }
        )
        self.norm3 = nn.LayerNorm(width)
        self.ff: Any = nn.ModuleDict(
            {"net": nn.ModuleDict({"0": _Projection(width, 4 * width), "2": nn.Linear(4 * width, width)})}
        )

    def forward(self, x: Tensor, mask: Tensor | None, past: Past | None) -> Tensor:
        """x (B, T, D), mask broadcast to (B, H, T, all frames) or None -> (B, T, D)."""
        batch, length, _ = x.shape
        qkv = self.attn1["to_qkv"](self.norm1(x)).view(batch, length, 3, self.heads, self.head)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, T, head)
        if past is not None:
            k, v = past.with_earlier(k, v)
        attended = attend(q, k, v, mask=mask)
        x = x + self.attn1["to_out"][0](attended.transpose(1, 2).reshape(batch, length, -1))
        net = self.ff["net"]
        return x + net["2"](F.gelu(net["0"].proj(self.norm3(x))))


class _Projection(nn.Module):
    """Holds the key `proj`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inputs, outputs)


class Level(nn.ModuleList):
    """Keys `0` residual block, `1.N` transformer blocks, and `2` a convolution that may change the rate."""

    def __init__(self, residual: ResidualBlock, transformers: list[TransformerBlock], last: nn.Module | None) -> None:
        super().__init__([residual, nn.ModuleList(transformers)] + ([last] if last is not None else []))

    @property
    def residual(self) -> ResidualBlock:
        """Key `0`."""
        return cast(ResidualBlock, self[0])

    @property
    def transformers(self) -> list[TransformerBlock]:
        """Keys `1.N`."""
        return list(cast("Iterable[TransformerBlock]", self[1]))

    def attend(self, x: Tensor, mask: Tensor | None, past: Past | None) -> Tensor:
        """The transformer blocks: (B, C, T) -> (B, C, T)."""
        x = x.transpose(1, 2)
        if mask is not None and past is None:  # at half the rate, chunks have as many steps as at the full one
            mask = mask[: x.shape[1], : x.shape[1]]
        for block in self.transformers:
            x = block(x, mask, past)
        return x.transpose(1, 2)


class Resampling(nn.Module):
    """Half or twice the rate. Key `conv`."""

    def __init__(self, channels: int, up: bool) -> None:
        super().__init__()
        self.conv = (nn.ConvTranspose1d if up else nn.Conv1d)(channels, channels, 4 if up else 3, 2, 1)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        """(B, C, T) -> (B, C, ceil(T / 2)) or (B, C, 2 * T)."""
        return self.conv(x)


class UNet(nn.Module):
    """The estimator. `causal` with one entry in `channels` is generation 2; two-sided is generation 1.

    With more entries the rate is halved inside (`resamples`) by convolutions that look to the right: even a causal one
    then has no `Past`.

    `chunk` is the number of frames that see each other in a chunk-causal pass.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        channels: list[int],
        blocks: int,
        mid_levels: int,
        heads: int,
        head: int,
        causal: bool,
        chunk: int = 0,
    ) -> None:
        super().__init__()
        self.inputs, self.chunk, self.causal = inputs, chunk, causal
        self.resamples = len(channels) > 1
        time_width = 4 * channels[0]
        self.time_mlp: Any = nn.ModuleDict(
            {"linear_1": nn.Linear(inputs, time_width), "linear_2": nn.Linear(time_width, time_width)}
        )

        def level(inner: int, outer: int, last: nn.Module | None) -> Level:
            transformers = [TransformerBlock(outer, heads, head) for _ in range(blocks)]
            return Level(ResidualBlock(inner, outer, time_width, causal), transformers, last)

        def edge(width: int, final: bool, up: bool) -> nn.Module:
            return Conv(width, width, 3, causal) if final else Resampling(width, up)

        downs = list(zip([inputs, *channels[:-1]], channels, strict=True))
        ups = list(zip(channels[::-1], [*channels[-2::-1], channels[0]], strict=True))
        self.down_blocks: Any = nn.ModuleList(
            level(a, b, edge(b, i == len(downs) - 1, False)) for i, (a, b) in enumerate(downs)
        )
        self.mid_blocks: Any = nn.ModuleList(level(channels[-1], channels[-1], None) for _ in range(mid_levels))
        self.up_blocks: Any = nn.ModuleList(
            level(2 * a, b, edge(b, i == len(ups) - 1, True)) for i, (a, b) in enumerate(ups)
        )
        self.final_block = ConvBlock(channels[0], channels[0], causal)
        self.final_proj = nn.Conv1d(channels[0], outputs, 1)

    def levels(self) -> list[Level]:
        """All levels, in the order of a pass."""
        return [*self.down_blocks, *self.mid_blocks, *self.up_blocks]

    def times(self, t: Tensor) -> list[tuple[Tensor, ...]]:
        """Flow times (S,) -> for each of them the share of every residual block: tensors (1, C, 1)."""
        like = self.final_proj.weight
        hidden = self.time_mlp["linear_1"](sinusoids(t.float().to(like.device), self.inputs).to(like.dtype))
        embedded = F.mish(self.time_mlp["linear_2"](F.silu(hidden)))
        shares = [level.residual.mlp["1"](embedded) for level in self.levels()]  # each (S, C)
        return [tuple(share[step, None, :, None] for share in shares) for step in range(len(t))]

    def conditions(self, mu: Tensor, speaker: Tensor, prompt: Tensor) -> Conditions:
        """mu and prompt (B, 80, T), speaker (B, 80) -> their share of the first block."""
        constant = torch.cat([mu, speaker[:, :, None].expand_as(mu), prompt], dim=1)
        return self.down_blocks[0].residual.conditions(constant)

    def forward(
        self,
        x: Tensor,
        conditions: Conditions,
        times: tuple[Tensor, ...],
        mask: Tensor | None = None,
        past: Past | None = None,
    ) -> Tensor:
        """Velocity (B, 80, T) at x (B, 80, T). `mask` (T, all frames): which frames a frame sees; None: all."""
        added = iter(times)
        skips: list[Tensor] = []
        for index, level in enumerate(self.down_blocks):
            if index == 0:
                x = level.residual.first(x, conditions, next(added), past)
            else:
                x = level.residual(x, next(added), past)
            x = level.attend(x, mask, past)
            skips.append(x)
            x = level[2](x, past)
        for level in self.mid_blocks:
            x = level.attend(level.residual(x, next(added), past), mask, past)
        for level in self.up_blocks:
            skip = skips.pop()
            x = level.residual(torch.cat([x[:, :, : skip.shape[2]], skip], dim=1), next(added), past)
            x = level[2](level.attend(x, mask, past), past)
        return self.final_proj(self.final_block(x, past))

    def memory_per_frame(self) -> int:
        """Numbers that `Past` keeps for a frame of one batch row in one Euler step."""
        return sum(2 * block.heads * block.head for level in self.levels() for block in level.transformers)
