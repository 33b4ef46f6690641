"""The prior of S2: semantic tokens, phones and style -> frames, by codebook, text encoder and attention (MRTE)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub_gpt_sovits.model.blank import Table
from hub_gpt_sovits.model.relative import Attention, Encoder, masked

MRTE_HEADS = 4


class Codebook(nn.Module):
    """The one codebook of the quantizer. Its running statistics are kept: fine-tuned files hold them too."""

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.register_buffer("inited", torch.zeros(1))
        self.register_buffer("cluster_size", torch.zeros(codes))
        self.register_buffer("embed", torch.zeros(codes, width))
        self.register_buffer("embed_avg", torch.zeros(codes, width))
        self.embed: Tensor

    def nearest(self, x: Tensor) -> Tensor:
        """(B, D, T) -> the code of each frame, (B, T)."""
        rows, embed = x.transpose(1, 2).float(), self.embed.float()  # sums of squares are beyond half precision
        distance = rows.square().sum(-1, keepdim=True) - 2 * rows @ embed.t() + embed.square().sum(1)
        return distance.argmin(-1)


class Quantizer(nn.Module):
    """Names as in the files: `vq.layers.0._codebook`."""

    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        layer = nn.ModuleDict({"_codebook": Codebook(codes, width)})
        self.vq = nn.ModuleDict({"layers": nn.ModuleList([layer])})

    @property
    def codebook(self) -> Codebook:
        """The codebook."""
        layers: Any = self.vq["layers"]
        return layers[0]["_codebook"]

    def decode(self, codes: Tensor) -> Tensor:
        """(B, T) -> (B, D, 2T): each code twice, at 50 frames a second."""
        return F.embedding(codes, self.codebook.embed).transpose(1, 2).repeat_interleave(2, -1)


class CrossAttention(nn.Module):
    """MRTE: audio frames attend to the text; the style is added."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.cross_attention = Attention(width, MRTE_HEADS)
        self.c_pre = nn.Conv1d(channels, width, 1)
        self.text_pre = nn.Conv1d(channels, width, 1)
        self.c_post = nn.Conv1d(width, channels, 1)

    def forward(
        self, audio: Tensor, text: Tensor, style: Tensor, audio_mask: Tensor | None, text_mask: Tensor | None
    ) -> Tensor:
        """(B, C, T), (B, C, N), (B, W, 1) -> (B, C, T)."""
        both = None
        if audio_mask is not None and text_mask is not None:
            both = text_mask.unsqueeze(2) * audio_mask.unsqueeze(-1)
        audio = self.c_pre(masked(audio, audio_mask))
        text = self.text_pre(masked(text, text_mask))
        seen = self.cross_attention(masked(audio, audio_mask), masked(text, text_mask), both)
        return self.c_post(masked(seen + audio + style, audio_mask))


class PriorEncoder(nn.Module):
    """`enc_p`: codebook vectors and phones -> frames -> mean and log deviation of the prior."""

    def __init__(
        self,
        *,
        semantic: int,
        hidden: int,
        filters: int,
        heads: int,
        layers: int,
        kernel: int,
        symbols: int,
        mrte_width: int,
        out: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.ssl_proj = nn.Conv1d(semantic, hidden, 1)
        self.encoder_ssl = Encoder(hidden, filters, heads, layers // 2, kernel, dropout)
        self.encoder_text = Encoder(hidden, filters, heads, layers, kernel, dropout)
        self.text_embedding = Table(symbols, hidden)
        self.mrte = CrossAttention(hidden, mrte_width)
        self.encoder2 = Encoder(hidden, filters, heads, layers // 2, kernel, dropout)
        self.proj = nn.Conv1d(hidden, 2 * out, 1)

    def read(self, phones: Tensor, mask: Tensor | None = None) -> Tensor:
        """Phones (B, N) -> (B, C, N)."""
        return self.encoder_text(self.text_embedding(phones).transpose(1, 2), mask)

    def frames(
        self,
        semantic: Tensor,
        text: Tensor,
        style: Tensor,
        mask: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> Tensor:
        """Codebook vectors (B, D, T), `read` text (B, C, N), style (B, W, 1) -> (B, C, T)."""
        audio = self.encoder_ssl(masked(self.ssl_proj(masked(semantic, mask)), mask), mask)
        return self.encoder2(self.mrte(audio, text, style, mask, text_mask), mask)

    def moments(self, frames: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Frames (B, C, T) -> mean and log deviation, each (B, out, T)."""
        mean, log = masked(self.proj(frames), mask).chunk(2, 1)
        return mean, log


def paced(frames: Tensor, speed: float) -> Tensor:
    """Frames (B, C, T) stretched to int(T / speed) + 1; unchanged at speed 1."""
    if speed == 1:
        return frames
    return F.interpolate(frames, size=int(frames.shape[-1] / speed) + 1, mode="linear")
