"""The codec: 24 kHz audio <-> frames of codes (25 a second, 8 codebooks in the release), always in float32.

The encoder has two branches: a DAC encoder (Kumar et al. 2023, arXiv:2306.06546) for the sound, and HuBERT (Hsu et al.
2021) for the words. Their outputs are joined and quantised by residual vector quantisation. The decoder is DAC's alone.
The DAC and HuBERT modules are transformers'. Padding and joining follow boson's code, from which transformers' own
encode differs: when the branches disagree in length, the waveform of the acoustic one is padded by 160 samples for each
semantic stride on both sides, and the longer branch is cut.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from transformers import DacConfig, HubertModel
from transformers.models.dac.modeling_dac import DacDecoder, DacEncoder

from hub.contract.errors import InvalidAudio
from hub.nn.features import resample
from hub_higgs_audio.model.shape import CodecShape, SemanticShape

TOO_SHORT = "the recording is too short to be encoded; send at least half a second"

_HUBERT_PAD = 160  # zeros on each side of HuBERT's input


class ResidualUnit(nn.Module):
    """ELU, convolution over `kernel` frames, ELU, convolution over one; added to the input. (B, C, T) -> same."""

    def __init__(self, width: int, kernel: int, dilation: int) -> None:
        super().__init__()
        padding = (kernel - 1) // 2 * dilation
        self.conv1 = nn.Conv1d(width, width, kernel, padding=padding, dilation=dilation, bias=False)
        self.conv2 = nn.Conv1d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.elu(self.conv1(F.elu(x))))


class SemanticBlock(nn.Module):
    """Residual units, then a convolution that may change rate and width. (B, C, T) -> (B, C', T / stride)."""

    def __init__(self, width: int, out: int, stride: int, shape: SemanticShape) -> None:
        super().__init__()
        self.res_units = nn.ModuleList(ResidualUnit(width, shape.unit_kernel, d) for d in shape.dilations)
        kernel = 3 if stride == 1 else 2 * stride
        self.conv = nn.Conv1d(width, out, kernel, stride=stride, padding=(kernel - 1) // 2)

    def forward(self, x: Tensor) -> Tensor:
        for unit in self.res_units:
            x = unit(x)
        return self.conv(x)


class SemanticEncoder(nn.Module):
    """HuBERT features to the semantic part of the embedding. (B, H, T) -> (B, C, T)."""

    def __init__(self, shape: SemanticShape) -> None:
        super().__init__()
        hubert, first, *ends = shape.widths
        self.conv = nn.Conv1d(hubert, first, shape.kernel, padding=shape.kernel // 2, bias=False)
        sizes = zip([first, *ends], ends, shape.strides, strict=False)
        self.conv_blocks = nn.ModuleList(SemanticBlock(width, out, stride, shape) for width, out, stride in sizes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        for block in self.conv_blocks:
            x = block(x)
        return x


class Codebook(nn.Module):
    """The rows of a codebook, found by Euclidean distance."""

    embed: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("embed", torch.empty(size, dim))

    def nearest(self, x: Tensor) -> Tensor:
        """The nearest rows: (B, T, D) -> (B, T) ids."""
        squares = x.pow(2).sum(-1, keepdim=True) - 2 * x @ self.embed.t() + self.embed.pow(2).sum(-1)
        return squares.argmin(-1)


class Quantizer(nn.Module):
    """One stage of the residual quantisation: a projection into the codebook's space, and one back.

    boson's files have neither where the codebook is as wide as the embedding.
    """

    def __init__(self, width: int, size: int, dim: int, *, projected: bool) -> None:
        super().__init__()
        self.codebook = Codebook(size, dim)
        self.project_in = nn.Linear(width, dim) if projected else nn.Identity()
        self.project_out = nn.Linear(dim, width) if projected else nn.Identity()

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, T) ids."""
        return self.codebook.nearest(self.project_in(x.transpose(1, 2)))

    def decode(self, ids: Tensor) -> Tensor:
        """(B, T) ids -> (B, C, T)."""
        return self.project_out(F.embedding(ids, self.codebook.embed)).transpose(1, 2)


class ResidualQuantizer(nn.Module):
    """Stages of which each quantises the residual of those before it."""

    def __init__(self, shape: CodecShape) -> None:
        super().__init__()
        self.quantizers = nn.ModuleList(
            Quantizer(shape.width, shape.codebook_size, shape.codebook_dim, projected=shape.projected)
            for _ in range(shape.codebooks)
        )

    @property
    def _stages(self) -> list[Quantizer]:
        return cast(list[Quantizer], list(self.quantizers))

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, codebooks, T) ids."""
        found = []
        for quantizer in self._stages:
            ids = quantizer.encode(x)
            x = x - quantizer.decode(ids)
            found.append(ids)
        return torch.stack(found, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """(B, codebooks, T) ids -> (B, C, T)."""
        stages = [quantizer.decode(ids) for quantizer, ids in zip(self._stages, codes.unbind(1), strict=True)]
        return torch.stack(stages).sum(0)


class CodecNet(nn.Module):
    """All modules, by transformers' names, so that its files load unchanged."""

    def __init__(self, shape: CodecShape) -> None:
        super().__init__()
        sizes: dict[str, Any] = {
            "encoder_hidden_size": shape.encoder_width,
            "decoder_hidden_size": shape.decoder_width,
            "downsampling_ratios": list(shape.encoder_ratios or shape.ratios),
            "upsampling_ratios": list(shape.ratios),
            "hidden_size": shape.acoustic,
        }
        dac = DacConfig(**sizes)
        self.acoustic_encoder = DacEncoder(dac)
        self.acoustic_decoder = DacDecoder(dac)
        for module in self.acoustic_decoder.modules():
            if isinstance(module, nn.ConvTranspose1d):
                module.output_padding = (module.stride[0] % 2,)  # exactly stride times as long, for odd strides too
        self.acoustic_decoder.tanh = nn.Identity()  # type: ignore[assignment]  # boson's decoder has none
        self.semantic_model = HubertModel(shape.hubert)
        positions = self.semantic_model.encoder.pos_conv_embed.conv
        if parametrize.is_parametrized(positions, "weight"):
            parametrize.remove_parametrizations(positions, "weight")
        self.encoder_semantic = SemanticEncoder(shape.semantic)
        self.quantizer = ResidualQuantizer(shape)
        self.fc = nn.Linear(shape.joined, shape.width)
        self.fc2 = nn.Linear(shape.width, shape.acoustic)


class Codec:
    """Waveform <-> codes. It holds no state of a call, so several threads may use it at once."""

    def __init__(self, net: CodecNet, shape: CodecShape, device: torch.device) -> None:
        self.net = net.eval().requires_grad_(False)
        self.shape = shape
        self.device = device
        self.sample_rate = shape.sample_rate
        self.codebooks = shape.codebooks
        self.codebook_size = shape.codebook_size
        self.hop = shape.hop
        self.context = shape.context

    @torch.inference_mode()
    def encode(self, wave: Tensor) -> Tensor:
        """(N,) float32 at `sample_rate` -> codes (codebooks, T) int64 on the CPU.

        Raises InvalidAudio for too few samples.
        """
        x = wave.to(self.device, torch.float32)[None, None]  # (1, 1, N)
        try:
            semantic = self.semantic(self.features(x))
            acoustic = self.acoustic(x)
            if acoustic.shape[2] != semantic.shape[2]:
                pad = _HUBERT_PAD * self.shape.semantic_step
                acoustic = self.acoustic(F.pad(x, (pad, pad)))
        except RuntimeError as error:
            if "Kernel size can't be greater" not in str(error) and "too small" not in str(error):
                raise
            raise InvalidAudio(TOO_SHORT) from None
        frames = min(acoustic.shape[2], semantic.shape[2])
        joined = torch.cat([acoustic[..., :frames], semantic[..., :frames]], 1)  # (1, D + H, T)
        return self.quantize(self.net.fc(joined.transpose(1, 2)).transpose(1, 2))[0].cpu()

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (codebooks, T) -> (T * hop,) float32 on the CPU. Samples may exceed 1: the decoder has no bounds."""
        if codes.shape[1] == 0:
            return torch.zeros(0)
        quantized = self.net.quantizer.decode(codes.to(self.device)[None])
        return self.net.acoustic_decoder(self.post(quantized))[0, 0].float().cpu()

    def semantic_input(self, x: Tensor) -> Tensor:
        """(1, 1, N) at `sample_rate` -> (1, 1, N') at HuBERT's rate."""
        if self.shape.sample_rate == self.shape.semantic_rate:
            return x
        return resample(x, self.shape.sample_rate, self.shape.semantic_rate)

    @torch.inference_mode()
    def features(self, x: Tensor) -> Tensor:
        """(1, 1, N) -> (1, T, H): the mean of HuBERT's hidden states, its input included, at the codec's rate."""
        wave = F.pad(self.semantic_input(x)[:, 0], (_HUBERT_PAD, _HUBERT_PAD))
        states = self.net.semantic_model(wave, output_hidden_states=True).hidden_states
        mean, step = torch.stack(states, 1).mean(1), max(1, self.shape.semantic_step)
        if self.shape.averaged:
            return F.avg_pool1d(mean.transpose(1, 2), step).transpose(1, 2)
        return mean[:, ::step]

    @torch.inference_mode()
    def semantic(self, features: Tensor) -> Tensor:
        """(1, T, H) -> (1, H, T)."""
        return self.net.encoder_semantic(features.transpose(1, 2))

    @torch.inference_mode()
    def acoustic(self, x: Tensor) -> Tensor:
        """(1, 1, N) -> (1, D, T)."""
        return self.net.acoustic_encoder(x)

    @torch.inference_mode()
    def quantize(self, embedding: Tensor) -> Tensor:
        """(1, D + H, T) -> (1, codebooks, T)."""
        return self.net.quantizer.encode(embedding)

    @torch.inference_mode()
    def post(self, quantized: Tensor) -> Tensor:
        """(1, D + H, T) -> (1, D, T): the decoder's input."""
        return self.net.fc2(quantized.transpose(1, 2)).transpose(1, 2)
