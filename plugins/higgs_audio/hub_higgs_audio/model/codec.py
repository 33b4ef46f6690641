"""The codec: 24 kHz audio <-> frames of codes (25 a second, 8 codebooks in the release), always in float32.

Encoding sees the waveform twice: a DAC encoder (Kumar et al. 2023, arXiv:2306.06546) hears how it sounds, HuBERT (Hsu
et al. 2021) what is said; both are joined and quantised by residual vector quantisation. Decoding is DAC's decoder
alone. The DAC and HuBERT modules are transformers'; how they are padded and joined follows boson's code, which is where
transformers' own encode differs: when the two branches disagree in length, the waveform of the acoustic one is padded
by 160 samples for each semantic stride on both sides, and the longer branch is cut.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from transformers import DacConfig, HubertConfig, HubertModel
from transformers.models.dac.modeling_dac import DacDecoder, DacEncoder

from hub.contract.errors import InvalidAudio
from hub.nn.features import resample
from hub_higgs_audio.layout import CONFIG, CheckpointRefused

_HUBERT_STRIDES = (5, 2, 2, 2, 2, 2, 2)
_HUBERT_PAD = 160  # zeros on each side of what HuBERT hears
_HEAD = 64  # width of HuBERT's attention heads, where no configuration tells it


@dataclass(frozen=True)
class CodecShape:
    """All sizes of a codec. What the configurations of the two layouts leave open is read off the weights."""

    sample_rate: int
    semantic_rate: int
    ratios: tuple[int, ...]
    encoder_width: int
    decoder_width: int
    acoustic: int
    semantic: int
    codebooks: int
    codebook_size: int
    codebook_dim: int
    semantic_blocks: int
    semantic_units: int
    hubert: HubertConfig

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.ratios)

    @property
    def context(self) -> int:
        """Frames on either side that the audio of a frame depends on, and no more: 10 with the release's ratios.

        Followed backwards through the decoder: the last convolution, then for each block the residual units (kernel
        7 at dilations 1, 3 and 9) and the transposed convolution, then the first convolution.
        """
        first, last = -3, self.hop - 1 + 3
        for stride in reversed(self.ratios):
            first, last = first - 39, last + 39
            pad = -(-stride // 2)
            first, last = -((2 * stride - 1 - pad - first) // stride), (last + pad) // stride
        return max(3 - first, last + 3)

    @property
    def width(self) -> int:
        """Of the quantised embedding."""
        return self.acoustic + self.semantic

    @property
    def semantic_step(self) -> int:
        """HuBERT frames for each codec frame."""
        return int(self.hop / (self.sample_rate / self.semantic_rate) / math.prod(self.hubert.conv_stride))

    @classmethod
    def of(cls, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> CodecShape:
        """The shape that a `config.json` of either layout and weights by transformers' names tell.

        Raises CheckpointRefused for what is not computed here.
        """
        ratios, rates = _ratios(config)
        size = _Sizes(state)
        embed = size("quantizer.quantizers.0.codebook.embed")
        shape = cls(
            sample_rate=rates[0],
            semantic_rate=rates[1],
            ratios=ratios,
            encoder_width=size("acoustic_encoder.conv1.weight")[0],
            decoder_width=size("acoustic_decoder.conv1.weight")[0],
            acoustic=size("fc2.weight")[0],
            semantic=size("encoder_semantic.conv.weight")[0],
            codebooks=size.count(r"quantizer\.quantizers\.(\d+)\."),
            codebook_size=embed[0],
            codebook_dim=embed[1],
            semantic_blocks=size.count(r"encoder_semantic\.conv_blocks\.(\d+)\."),
            semantic_units=size.count(r"encoder_semantic\.conv_blocks\.0\.res_units\.(\d+)\."),
            hubert=_hubert(config.get("semantic_model_config") or {}, size),
        )
        _check(config, shape)
        return shape


class _Sizes:
    """Shapes of weights by name; a missing one refuses the checkpoint."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._state = state

    def __call__(self, key: str) -> tuple[int, ...]:
        if key not in self._state:
            raise CheckpointRefused(f"the codec's weights lack {key}; this is no codec of Higgs Audio v2", key=key)
        return tuple(self._state[key].shape)

    def count(self, pattern: str) -> int:
        numbers = {int(found[1]) for key in self._state if (found := re.match(pattern, key))}
        return max(numbers, default=-1) + 1


def _ratios(config: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Strides of the acoustic branch; sample rates of the codec and of what HuBERT hears."""
    if "acoustic_model_config" not in config:
        rates = int(config.get("sample_rate", 24_000)), int(config.get("semantic_sample_rate") or 16_000)
        return tuple(config["ratios"]), rates
    acoustic = config["acoustic_model_config"]
    down, up = tuple(acoustic["downsampling_ratios"]), tuple(acoustic["upsampling_ratios"])
    if down != up:
        raise CheckpointRefused(f"{CONFIG}: downsampling_ratios {down} and upsampling_ratios {up} differ")
    return down, (int(config["sample_rate"]), int(config.get("semantic_sample_rate", 16_000)))


def _hubert(config: Mapping[str, Any], size: _Sizes) -> HubertConfig:
    """HuBERT's configuration: transformers' own where there is one, with all sizes from the weights."""
    count = size.count(r"semantic_model\.feature_extractor\.conv_layers\.(\d+)\.")
    convs = [size(f"semantic_model.feature_extractor.conv_layers.{layer}.conv.weight") for layer in range(count)]
    width = size("semantic_model.encoder.layer_norm.weight")[0]
    positions = size("semantic_model.encoder.pos_conv_embed.conv.weight")
    given = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
    return HubertConfig(
        **{
            "num_attention_heads": max(1, width // _HEAD),
            "conv_stride": _HUBERT_STRIDES[:count],
            "conv_bias": False,
            "feat_extract_norm": "group",
            **given,
            "hidden_size": width,
            "num_hidden_layers": size.count(r"semantic_model\.encoder\.layers\.(\d+)\."),
            "intermediate_size": size("semantic_model.encoder.layers.0.feed_forward.intermediate_dense.weight")[0],
            "conv_dim": tuple(conv[0] for conv in convs),
            "conv_kernel": tuple(conv[2] for conv in convs),
            "num_feat_extract_layers": count,
            "num_conv_pos_embeddings": positions[2],
            "num_conv_pos_embedding_groups": width // positions[1],
            "mask_time_prob": 0.0,  # a mask is for training; without it there is no embedding of masked frames
            "mask_feature_prob": 0.0,
            "apply_spec_augment": False,
        }
    )


def _check(config: Mapping[str, Any], shape: CodecShape) -> None:
    computed = {"vq_scale": 1, "downsample_mode": "step_down", "kernel_size": 3, "unit_kernel_size": 3}
    teacher = config.get("semantic_techer", "hubert_base_general")  # so spelled in the files
    wrong = [f"{key} {config[key]!r}" for key, value in computed.items() if config.get(key, value) != value]
    wrong += [f"semantic_techer {teacher!r}"] if not str(teacher).startswith("hubert_base") else []
    ones = ("strides", "block_dilations", "channel_ratios")
    wrong += [f"{key} {config[key]}" for key in ones if any(value != 1 for value in config.get(key, ()))]
    wrong += [f"bins {config['bins']}"] if config.get("bins", shape.codebook_size) != shape.codebook_size else []
    wrong += [f"n_q {config['n_q']}"] if config.get("n_q", shape.codebooks) > shape.codebooks else []
    if wrong:
        raise CheckpointRefused(f"{CONFIG} of the codec: this backend does not compute {', '.join(wrong)}")


class ResidualUnit(nn.Module):
    """ELU, convolution over three frames, ELU, convolution over one; added to the input. (B, C, T) -> same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(width, width, 3, padding=1, bias=False)
        self.conv2 = nn.Conv1d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.elu(self.conv1(F.elu(x))))


class SemanticBlock(nn.Module):
    """Residual units, then a convolution over three frames. (B, C, T) -> same."""

    def __init__(self, width: int, units: int) -> None:
        super().__init__()
        self.res_units = nn.ModuleList(ResidualUnit(width) for _ in range(units))
        self.conv = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for unit in self.res_units:
            x = unit(x)
        return self.conv(x)


class SemanticEncoder(nn.Module):
    """HuBERT features to the semantic half of the embedding. (B, C, T) -> same."""

    def __init__(self, width: int, blocks: int, units: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, padding=1, bias=False)
        self.conv_blocks = nn.ModuleList(SemanticBlock(width, units) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        for block in self.conv_blocks:
            x = block(x)
        return x


class Codebook(nn.Module):
    """Rows of a codebook, and the nearest of them by Euclidean distance."""

    embed: Tensor

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("embed", torch.empty(size, dim))

    def nearest(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T) ids."""
        squares = x.pow(2).sum(-1, keepdim=True) - 2 * x @ self.embed.t() + self.embed.pow(2).sum(-1)
        return squares.argmin(-1)


class Quantizer(nn.Module):
    """One stage of the residual quantisation: a projection into the codebook's space, and one back."""

    def __init__(self, width: int, size: int, dim: int) -> None:
        super().__init__()
        self.codebook = Codebook(size, dim)
        self.project_in = nn.Linear(width, dim)
        self.project_out = nn.Linear(dim, width)

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, T) -> (B, T) ids."""
        return self.codebook.nearest(self.project_in(x.transpose(1, 2)))

    def decode(self, ids: Tensor) -> Tensor:
        """(B, T) ids -> (B, C, T)."""
        return self.project_out(F.embedding(ids, self.codebook.embed)).transpose(1, 2)


class ResidualQuantizer(nn.Module):
    """Each stage quantises what the ones before it left."""

    def __init__(self, shape: CodecShape) -> None:
        super().__init__()
        self.quantizers = nn.ModuleList(
            Quantizer(shape.width, shape.codebook_size, shape.codebook_dim) for _ in range(shape.codebooks)
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
    """All modules, named as transformers names them, so that its files load as they are."""

    def __init__(self, shape: CodecShape) -> None:
        super().__init__()
        sizes: dict[str, Any] = {
            "encoder_hidden_size": shape.encoder_width,
            "decoder_hidden_size": shape.decoder_width,
            "downsampling_ratios": list(shape.ratios),
            "upsampling_ratios": list(shape.ratios),
            "hidden_size": shape.acoustic,
        }
        dac = DacConfig(**sizes)
        self.acoustic_encoder = DacEncoder(dac)
        self.acoustic_decoder = DacDecoder(dac)
        for module in self.acoustic_decoder.modules():
            if isinstance(module, nn.ConvTranspose1d):
                module.output_padding = (module.stride[0] % 2,)  # exactly stride times as long, odd strides too
        self.acoustic_decoder.tanh = nn.Identity()  # type: ignore[assignment]  # boson's decoder has none
        self.semantic_model = HubertModel(shape.hubert)
        positions = self.semantic_model.encoder.pos_conv_embed.conv
        if parametrize.is_parametrized(positions, "weight"):
            parametrize.remove_parametrizations(positions, "weight")
        self.encoder_semantic = SemanticEncoder(shape.semantic, shape.semantic_blocks, shape.semantic_units)
        self.quantizer = ResidualQuantizer(shape)
        self.fc = nn.Linear(shape.width, shape.width)
        self.fc2 = nn.Linear(shape.width, shape.acoustic)


class Codec:
    """Waveform <-> codes. Holds nothing of a call, so several threads may use it at once."""

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

        Raises InvalidAudio if it is too short.
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
            raise InvalidAudio("the recording is too short to be encoded; half a second is the least of use") from None
        frames = min(acoustic.shape[2], semantic.shape[2])
        joined = torch.cat([acoustic[..., :frames], semantic[..., :frames]], 1)  # (1, D + H, T)
        return self.quantize(self.net.fc(joined.transpose(1, 2)).transpose(1, 2))[0].cpu()

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes (codebooks, T) -> (T * hop,) float32 on the CPU; may be beyond 1, where a format is to clip it."""
        if codes.shape[1] == 0:
            return torch.zeros(0)
        quantized = self.net.quantizer.decode(codes.to(self.device)[None])
        return self.net.acoustic_decoder(self.post(quantized))[0, 0].float().cpu()

    def semantic_input(self, x: Tensor) -> Tensor:
        """(1, 1, N) at `sample_rate` -> (1, 1, N') at the rate that HuBERT hears."""
        if self.shape.sample_rate == self.shape.semantic_rate:
            return x
        return resample(x, self.shape.sample_rate, self.shape.semantic_rate)

    @torch.inference_mode()
    def features(self, x: Tensor) -> Tensor:
        """(1, 1, N) -> (1, T, H): the mean of all of HuBERT's hidden states, its input's too, at the codec's rate."""
        heard = F.pad(self.semantic_input(x)[:, 0], (_HUBERT_PAD, _HUBERT_PAD))
        states = self.net.semantic_model(heard, output_hidden_states=True).hidden_states
        return torch.stack(states, 1).mean(1)[:, :: max(1, self.shape.semantic_step)]

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
        """(1, D + H, T) -> (1, D, T): what the decoder reads."""
        return self.net.fc2(quantized.transpose(1, 2)).transpose(1, 2)
