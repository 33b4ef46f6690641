"""The diffusion transformer of generation 3 that predicts the flow's velocity.

Causal like the U-Net of generation 2, so that a stream can keep its frames (`Past`). The flow time only enters through
the shifts, scales and gates of the adaptive norms; those of all Euler steps are computed once for a model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hub.nn.attention import attend, rotary_table, rotate_interleaved
from hub_cosyvoice.model.flow.past import Past
from hub_cosyvoice.model.flow.unet import sinusoids

TIME_WIDTH = 256
POSITION_KERNEL = 31
POSITION_GROUPS = 16
NORM_EPS = 1e-6


@dataclass(frozen=True)
class DiTConditions:
    """The share of prompt mel, mu and speaker in the input layer, with its bias: (B, T, D)."""

    axis: ClassVar[int] = 1
    hidden: Tensor

    def since(self, frame: int) -> DiTConditions:
        """The share of the frames from `frame` on."""
        return DiTConditions(self.hidden[:, frame:]) if frame else self


class CausalPositions(nn.Module):
    """Two causal grouped convolutions, Mish after each. Keys `conv1.0`, `conv2.0`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1: Any = nn.ModuleList([nn.Conv1d(width, width, POSITION_KERNEL, groups=POSITION_GROUPS)])
        self.conv2: Any = nn.ModuleList([nn.Conv1d(width, width, POSITION_KERNEL, groups=POSITION_GROUPS)])

    def forward(self, x: Tensor, past: Past | None) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = x.transpose(1, 2)
        for conv in (self.conv1[0], self.conv2[0]):
            left = POSITION_KERNEL - 1
            x = F.mish(conv(F.pad(x, (left, 0)) if past is None else past.with_left(x, left)))
        return x.transpose(1, 2)


class InputEmbedding(nn.Module):
    """Keys `proj` and `conv_pos_embed`."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inputs, width)
        self.conv_pos_embed = CausalPositions(width)


class DiTBlock(nn.Module):
    """Attention and feed-forward under adaptive norms. `to_qkv` is `to_q`, `to_k`, `to_v` in one, as in the U-Net."""

    def __init__(self, width: int, heads: int, head: int, ff_mult: int) -> None:
        super().__init__()
        self.heads, self.head = heads, head
        self.attn_norm: Any = nn.ModuleDict({"linear": nn.Linear(width, 6 * width)})
        self.attn: Any = nn.ModuleDict(
            {
                "to_qkv": nn.Linear(width, 3 * heads * head),
                "to_out": nn.ModuleList([nn.Linear(heads * head, width)]),
            }
        )
        first = nn.ModuleList([nn.Linear(width, ff_mult * width)])
        self.ff: Any = nn.ModuleDict({"ff": nn.ModuleDict({"0": first, "2": nn.Linear(ff_mult * width, width)})})

    def forward(
        self,
        x: Tensor,
        times: tuple[Tensor, ...],
        rotary: Tensor,
        mask: Tensor | None,
        past: Past | None,
    ) -> Tensor:
        """x (B, T, D); `times`: shift, scale, gate of the attention, then of the feed-forward -> (B, T, D)."""
        shift, scale, gate, ff_shift, ff_scale, ff_gate = times
        x = x + gate * self._attend(_norm(x) * scale + shift, rotary, mask, past)
        hidden = F.gelu(self.ff["ff"]["0"][0](_norm(x) * ff_scale + ff_shift), approximate="tanh")
        return x + ff_gate * self.ff["ff"]["2"](hidden)

    def _attend(self, x: Tensor, rotary: Tensor, mask: Tensor | None, past: Past | None) -> Tensor:
        batch, length, _ = x.shape
        qkv = self.attn["to_qkv"](x).view(batch, length, 3, self.heads, self.head)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, T, head)
        q, k = rotate_first_head(q, rotary), rotate_first_head(k, rotary)
        if past is not None:
            k, v = past.with_earlier(k, v)
        attended = attend(q, k, v, mask=mask)
        return self.attn["to_out"][0](attended.transpose(1, 2).reshape(batch, length, -1))


class DiT(nn.Module):
    """The estimator. `chunk` is the number of frames that see each other in a chunk-causal pass.

    `long_skip` joins the input of the first block to the output of the last (no release has it).
    """

    causal = True
    resamples = False

    def __init__(
        self,
        mel: int,
        width: int,
        depth: int,
        heads: int,
        head: int,
        ff_mult: int,
        conditions: int,
        chunk: int,
        long_skip: bool = False,
    ) -> None:
        super().__init__()
        self.mel, self.chunk = mel, chunk
        self.time_embed: Any = nn.ModuleDict(
            {"time_mlp": nn.ModuleDict({"0": nn.Linear(TIME_WIDTH, width), "2": nn.Linear(width, width)})}
        )
        self.input_embed = InputEmbedding(mel + conditions, width)
        self.rotary_embed: Any = nn.Module()
        self.rotary_embed.register_buffer("inv_freq", torch.zeros(head // 2))
        self.transformer_blocks: Any = nn.ModuleList(DiTBlock(width, heads, head, ff_mult) for _ in range(depth))
        self.long_skip_connection = nn.Linear(2 * width, width, bias=False) if long_skip else None
        self.norm_out: Any = nn.ModuleDict({"linear": nn.Linear(width, 2 * width)})
        self.proj_out = nn.Linear(width, mel)

    def times(self, t: Tensor) -> list[tuple[Tensor, ...]]:
        """Flow times (S,) -> for each the shifts, scales and gates of all blocks, then of the output: (1, 1, D) each.

        Scales come with their 1 added.
        """
        like = self.proj_out.weight
        mlp = self.time_embed["time_mlp"]
        hidden = sinusoids(t.float().to(like.device), TIME_WIDTH).to(like.dtype)
        embedded = F.silu(mlp["2"](F.silu(mlp["0"](hidden))))  # (S, D)
        parts: list[Tensor] = []
        for block in self.transformer_blocks:
            shift, scale, gate, ff_shift, ff_scale, ff_gate = block.attn_norm["linear"](embedded).chunk(6, dim=1)
            parts += [shift, 1 + scale, gate, ff_shift, 1 + ff_scale, ff_gate]
        scale, shift = self.norm_out["linear"](embedded).chunk(2, dim=1)
        parts += [1 + scale, shift]
        return [tuple(part[step, None, None] for part in parts) for step in range(len(t))]

    def conditions(self, mu: Tensor, speaker: Tensor, prompt: Tensor) -> DiTConditions:
        """mu and prompt (B, 80, T), speaker (B, 80) -> their share of the input layer."""
        constant = torch.cat([prompt, mu, speaker[:, :, None].expand_as(mu)], dim=1).transpose(1, 2)
        proj = self.input_embed.proj
        return DiTConditions(F.linear(constant, proj.weight[:, self.mel :], proj.bias))

    def forward(
        self,
        x: Tensor,
        conditions: DiTConditions,
        times: tuple[Tensor, ...],
        mask: Tensor | None = None,
        past: Past | None = None,
    ) -> Tensor:
        """Velocity (B, 80, T) at x (B, 80, T). `mask` (T, all frames): which frames a frame sees; None: all."""
        start = past.frames if past is not None else 0
        rotary = self._rotary(start, x.shape[2])
        hidden = F.linear(x.transpose(1, 2), self.input_embed.proj.weight[:, : self.mel]) + conditions.hidden
        hidden = hidden + self.input_embed.conv_pos_embed(hidden, past)
        first = hidden
        for index, block in enumerate(self.transformer_blocks):
            hidden = block(hidden, times[6 * index : 6 * index + 6], rotary, mask, past)
        if self.long_skip_connection is not None:
            hidden = self.long_skip_connection(torch.cat([hidden, first], dim=-1))
        scale, shift = times[-2:]
        return self.proj_out(_norm(hidden) * scale + shift).transpose(1, 2)

    def memory_per_frame(self) -> int:
        """Numbers that `Past` keeps for a frame of one batch row in one Euler step."""
        return sum(2 * block.heads * block.head for block in self.transformer_blocks)

    def _rotary(self, start: int, frames: int) -> Tensor:
        """The rotary table of the frames from `start` on: (frames, head / 2, 2) float32."""
        frequencies = self.rotary_embed.inv_freq.float()
        return rotary_table(torch.arange(start, start + frames, device=frequencies.device), frequencies)


def rotate_first_head(x: Tensor, rotary: Tensor) -> Tensor:
    """Rotate the first head of x (B, H, T, D).

    The released models were trained with a rotation that reaches one head's width only, of all the heads' columns.
    """
    return torch.cat([rotate_interleaved(x[:, :1], rotary), x[:, 1:]], dim=1)


def _norm(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=NORM_EPS)
