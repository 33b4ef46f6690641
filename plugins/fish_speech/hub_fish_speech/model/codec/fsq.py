"""Finite scalar quantization in groups of channels (https://arxiv.org/abs/2309.15505), as firefly was trained with it.

That is version 1.14.24 of vector-quantize-pytorch: values are bounded twice before they are rounded. Other versions of
that library bound once and give other ids for the same weights.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from hub_fish_speech.model.codec.layers import State, downsampler, upsampler
from hub_fish_speech.model.codec.sizes import FsqSizes


class Group(nn.Module):
    """The projections of one group of channels: to one number per entry of `levels`, and back."""

    def __init__(self, width: int, numbers: int) -> None:
        super().__init__()
        same = width == numbers
        self.project_in = nn.Identity() if same else nn.Linear(width, numbers)
        self.project_out = nn.Identity() if same else nn.Linear(numbers, width)


class GroupedFsq(nn.Module):
    """(B, T, dim) <-> ids (B, groups * codebooks, T), group by group."""

    def __init__(self, sizes: FsqSizes, dim: int) -> None:
        super().__init__()
        self.levels, self.codebooks, self.groups = sizes.levels, sizes.n_codebooks, sizes.n_groups
        self.rvqs = nn.ModuleList(Group(dim // sizes.n_groups, len(sizes.levels)) for _ in range(sizes.n_groups))

    @property
    def size(self) -> int:
        """The number of ids of each row."""
        return math.prod(self.levels)

    def quantize(self, x: Tensor) -> Tensor:
        """x (B, T, dim) -> ids (B, groups * codebooks, T)."""
        parts = x.chunk(self.groups, dim=2)
        rows = [row for group, part in zip(self._each, parts, strict=True) for row in self._rows(group, part)]
        return torch.stack(rows, dim=1)

    def restore(self, ids: Tensor) -> Tensor:
        """ids (B, groups * codebooks, T), within the levels -> (B, T, dim)."""
        levels, half, basis = self._numbers(ids.device)
        per_group = ids.unflatten(1, (self.groups, self.codebooks)).unsqueeze(-1)  # (B, G, R, T, 1)
        numbers = ((per_group // basis) % levels - half) / half  # (B, G, R, T, L)
        scales = torch.stack([(levels - 1.0) ** -row for row in range(self.codebooks)])
        scaled = (numbers * scales[:, None]).sum(2)  # (B, G, T, L)
        return torch.cat([group.project_out(scaled[:, number]) for number, group in enumerate(self._each)], dim=2)

    @property
    def _each(self) -> list[Group]:
        return cast("list[Group]", list(self.rvqs))

    def _rows(self, group: Group, part: Tensor) -> list[Tensor]:
        levels, half, basis = self._numbers(part.device)
        rest, rows = self._bound(group.project_in(part)), []
        for row in range(self.codebooks):
            scale = (levels - 1.0) ** -row
            code = self._bound(rest / scale).round() / half
            rows.append(((code * half + half) * basis).sum(dim=2).to(torch.int32).long())
            rest = rest - code * scale
        return rows

    def _bound(self, x: Tensor) -> Tensor:
        """Bring x into the open interval that rounds to the levels."""
        levels, _, _ = self._numbers(x.device)
        reach = (levels - 1) * (1 + 1e-3) / 2
        offset = torch.where(levels % 2 == 0, 0.5, 0.0)
        return (x + (offset / reach).atanh()).tanh() * reach - offset

    def _numbers(self, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Levels, half of them, and the weight of each level in an id."""
        levels = torch.tensor(self.levels, device=device)
        basis = torch.tensor([math.prod(self.levels[:level]) for level in range(len(self.levels))], device=device)
        return levels, levels // 2, basis


class FireflyQuantizer(nn.Module):
    """Features <-> ids, at a rate `downsample_factor` lower."""

    def __init__(self, sizes: FsqSizes) -> None:
        super().__init__()
        dims = [sizes.input_dim, *(sizes.downsample_dims or [sizes.input_dim] * len(sizes.downsample_factor))]
        self.downsample = downsampler(dims, sizes.downsample_factor)
        self.residual_fsq = GroupedFsq(sizes, dims[-1])
        self.upsample = upsampler(dims, sizes.downsample_factor)

    def before(self, features: Tensor, state: State) -> Tensor:
        """features (B, M, D) -> the input of the quantizer, (B, ceil(M / factor), D)."""
        return self.downsample(features, state)

    def dequantize(self, ids: Tensor, state: State) -> Tensor:
        """ids (B, rows, T), within the levels -> (B, T * factor, D)."""
        return self.upsample(self.residual_fsq.restore(ids), state)
