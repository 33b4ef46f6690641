"""The vector quantizer of the modded DAC: one semantic codebook, and residual ones for the rest."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hub_fish_speech.model.codec.layers import Pointwise, State, downsampler, upsampler
from hub_fish_speech.model.codec.sizes import DacQuantizerSizes
from hub_fish_speech.model.codec.transformer import WindowTransformer


class Codebook(nn.Module):
    """`size` entries of `width` numbers, found by cosine, and the projections to them and back."""

    def __init__(self, dim: int, size: int, width: int) -> None:
        super().__init__()
        self.in_proj = Pointwise(dim, width)
        self.out_proj = Pointwise(width, dim)
        self.codebook = nn.Embedding(size, width)

    def nearest(self, x: Tensor) -> Tensor:
        """x (B, T, dim) -> the entry of the most similar direction for each step, (B, T) int64."""
        entries = F.normalize(self.codebook.weight, dim=1)
        return (F.normalize(self.in_proj(x), dim=2) @ entries.T).argmax(dim=2)

    def restore(self, ids: Tensor) -> Tensor:
        """ids (B, T) -> (B, T, dim), from the entries as they are, not normed."""
        return self.out_proj(self.codebook(ids))


class ResidualCodebooks(nn.Module):
    """Codebooks, each of which quantizes what the ones before it have left."""

    def __init__(self, count: int, dim: int, size: int, width: int) -> None:
        super().__init__()
        self.quantizers = nn.ModuleList(Codebook(dim, size, width) for _ in range(count))

    def quantize(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (B, T, dim) -> ids (B, count, T), and the rest that no codebook holds, (B, T, dim)."""
        ids = []
        for codebook in self._codebooks:
            ids.append(codebook.nearest(x))
            x = x - codebook.restore(ids[-1])
        return torch.stack(ids, dim=1), x

    def restore(self, ids: Tensor) -> Tensor:
        """ids (B, count, T) -> the sum of the entries, (B, T, dim)."""
        first, *others = [codebook.restore(ids[:, row]) for row, codebook in enumerate(self._codebooks)]
        for other in others:
            first += other
        return first

    @property
    def _codebooks(self) -> list[Codebook]:
        return cast("list[Codebook]", list(self.quantizers))


class DacQuantizer(nn.Module):
    """Latents <-> ids, at a rate `downsample_factor` lower, with a transformer on each side."""

    def __init__(self, sizes: DacQuantizerSizes) -> None:
        super().__init__()
        dims = [sizes.input_dim, *(sizes.downsample_dims or [sizes.input_dim] * len(sizes.downsample_factor))]
        self.downsample = downsampler(dims, sizes.downsample_factor)
        self.pre_module = WindowTransformer(
            sizes.pre_module.config, inputs=sizes.pre_module.input_dim, window=sizes.pre_module.window_size
        )
        self.semantic_quantizer = ResidualCodebooks(
            1, sizes.input_dim, sizes.semantic_codebook_size, sizes.codebook_dim
        )
        self.quantizer = ResidualCodebooks(sizes.n_codebooks, sizes.input_dim, sizes.codebook_size, sizes.codebook_dim)
        self.post_module = WindowTransformer(
            sizes.post_module.config, inputs=sizes.post_module.input_dim, window=sizes.post_module.window_size
        )
        self.upsample = upsampler(dims, sizes.downsample_factor)
        self.sizes = (sizes.semantic_codebook_size, *[sizes.codebook_size] * sizes.n_codebooks)

    def before(self, latent: Tensor, state: State) -> Tensor:
        """latent (B, T * factor, D) -> the input of the codebooks, (B, T, D)."""
        return self.pre_module(self.downsample(latent, state), state)

    def ids(self, x: Tensor) -> Tensor:
        """x (B, T, D) -> ids (B, C, T)."""
        semantic, rest = self.semantic_quantizer.quantize(x)
        residual, _ = self.quantizer.quantize(rest)
        return torch.cat((semantic, residual), dim=1)

    def after(self, ids: Tensor, state: State) -> Tensor:
        """ids (B, C, T), within the codebooks -> (B, T, D)."""
        entries = self.semantic_quantizer.restore(ids[:, :1]) + self.quantizer.restore(ids[:, 1:])
        return self.post_module(entries, state)
