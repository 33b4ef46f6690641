"""All sizes of a codec, from its configuration in either layout and from the shapes of its weights.

Most of them are constants in boson's code; here they come from the files wherever the files have them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import HubertConfig

from hub_higgs_audio.layout import CONFIG, CheckpointRefused

_RATIOS = (8, 5, 4, 2)  # the defaults of both configurations
_HUBERT_STRIDES = (5, 2, 2, 2, 2, 2, 2)
_HUBERT_STEP = 320  # samples of a HuBERT frame, unless the configuration says otherwise
_HEAD = 64  # width of HuBERT's attention heads, unless the configuration says otherwise


@dataclass(frozen=True)
class SemanticShape:
    """Sizes of the encoder after HuBERT."""

    widths: tuple[int, ...] = (768, 768, 768, 768)
    """Widths of HuBERT, after the first convolution, and after each block."""
    kernel: int = 3
    unit_kernel: int = 3
    strides: tuple[int, ...] = (1, 1)
    dilations: tuple[int, ...] = (1, 1)
    """Dilations of a block's residual units."""

    @classmethod
    def of(cls, config: Mapping[str, Any], size: Sizes) -> SemanticShape:
        """Widths and kernels from the weights; strides and dilations from the configuration, or 1, as boson's are."""
        first = size("encoder_semantic.conv.weight")
        blocks = size.count(r"encoder_semantic\.conv_blocks\.(\d+)\.")
        units = size.count(r"encoder_semantic\.conv_blocks\.0\.res_units\.(\d+)\.")
        ends = [size(f"encoder_semantic.conv_blocks.{block}.conv.weight")[0] for block in range(blocks)]
        return cls(
            widths=(first[1], first[0], *ends),
            kernel=first[2],
            unit_kernel=size("encoder_semantic.conv_blocks.0.res_units.0.conv1.weight")[2],
            strides=tuple(config.get("strides") or (1,) * blocks),
            dilations=tuple(config.get("block_dilations") or (1,) * units),
        )


@dataclass(frozen=True)
class CodecShape:
    """All sizes of a codec. The weights give those that the configuration of its layout lacks."""

    sample_rate: int
    semantic_rate: int
    ratios: tuple[int, ...]
    """Strides of the decoder."""
    encoder_width: int
    decoder_width: int
    acoustic: int
    width: int
    """Width of the quantised embedding."""
    codebooks: int
    codebook_size: int
    codebook_dim: int
    semantic: SemanticShape
    hubert: HubertConfig
    projected: bool = True
    """Each codebook has projections into its space and back."""
    encoder_ratios: tuple[int, ...] = ()
    """Strides of the encoder, if they differ from the decoder's."""
    hubert_step: int = _HUBERT_STEP
    averaged: bool = False
    """The HuBERT frames of one codec frame are averaged; otherwise the first of them counts."""

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return math.prod(self.ratios)

    @property
    def context(self) -> int:
        """Frames on either side that the audio of a frame depends on: 10 with the release's ratios.

        Traced backwards through the decoder: the last convolution, then for each block the residual units (kernel
        7 at dilations 1, 3 and 9) and the transposed convolution, then the first convolution.
        """
        first, last = -3, self.hop - 1 + 3
        for stride in reversed(self.ratios):
            first, last = first - 39, last + 39
            pad = -(-stride // 2)
            first, last = -((2 * stride - 1 - pad - first) // stride), (last + pad) // stride
        return max(3 - first, last + 3)

    @property
    def joined(self) -> int:
        """Width of both branches, concatenated."""
        return self.acoustic + self.semantic.widths[-1]

    @property
    def semantic_step(self) -> int:
        """HuBERT frames per codec frame, rounded down: 0 if the codec's frames are shorter."""
        return int(self.hop / (self.sample_rate / self.semantic_rate) / self.hubert_step)

    @classmethod
    def of(cls, config: Mapping[str, Any], state: Mapping[str, Tensor]) -> CodecShape:
        """The shape of a codec from its `config.json`, of either layout, and its weights by transformers' names.

        Raises CheckpointRefused for a setting that is not implemented here.
        """
        down, up = _ratios(config)
        size = Sizes(state)
        embed = size("quantizer.quantizers.0.codebook.embed")
        boson = "acoustic_model_config" not in config
        shape = cls(
            sample_rate=int(config.get("sample_rate", 16_000 if boson else 24_000)),
            semantic_rate=int(config.get("semantic_sample_rate") or 16_000),
            ratios=up,
            encoder_ratios=down,
            encoder_width=size("acoustic_encoder.conv1.weight")[0],
            decoder_width=size("acoustic_decoder.conv1.weight")[0],
            acoustic=size("fc2.weight")[0],
            width=size("fc.weight")[0],
            codebooks=_codebooks(config, size),
            codebook_size=embed[0],
            codebook_dim=embed[1],
            projected="quantizer.quantizers.0.project_in.weight" in state,
            semantic=SemanticShape.of(config, size),
            hubert_step=int(config.get("downsample_factor", _HUBERT_STEP)),
            averaged=config.get("downsample_mode") == "avg",
            hubert=_hubert(config.get("semantic_model_config") or {}, size),
        )
        _check(config, shape)
        return shape


class Sizes:
    """Shapes of weights by name. Raises CheckpointRefused for a missing one."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._state = state

    def __call__(self, key: str) -> tuple[int, ...]:
        if key not in self._state:
            raise CheckpointRefused(f"the codec's weights lack {key}; they are not a codec of Higgs Audio v2", key=key)
        return tuple(self._state[key].shape)

    def count(self, pattern: str) -> int:
        """One more than the highest number that the group of `pattern` finds in a name; 0 without any."""
        numbers = {int(found[1]) for key in self._state if (found := re.match(pattern, key))}
        return max(numbers, default=-1) + 1


def _ratios(config: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Strides of the acoustic encoder and decoder; by default those of the configuration's class."""
    acoustic = config.get("acoustic_model_config")
    if acoustic is None:
        return tuple(config.get("ratios", _RATIOS)), tuple(config.get("ratios", _RATIOS))
    down, up = (tuple(acoustic.get(f"{way}sampling_ratios", _RATIOS)) for way in ("down", "up"))
    if math.prod(down) != math.prod(up):
        raise CheckpointRefused(f"{CONFIG}: downsampling_ratios {down} and upsampling_ratios {up} differ in length")
    return down, up


def _codebooks(config: Mapping[str, Any], size: Sizes) -> int:
    """The number of codebooks in use.

    boson's configuration may use fewer than are stored. transformers' derives the number from the bandwidths, for some
    files wrongly, so there the weights decide.
    """
    stored = size.count(r"quantizer\.quantizers\.(\d+)\.")
    wanted = int(config.get("n_q") or stored)
    if wanted > stored:
        raise CheckpointRefused(f"{CONFIG} of the codec: n_q is {wanted}, and the weights have {stored} codebooks")
    return wanted


def _hubert(config: Mapping[str, Any], size: Sizes) -> HubertConfig:
    """HuBERT's configuration: the file's own if it has one, with all sizes from the weights."""
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
            "mask_time_prob": 0.0,  # only training masks frames; without masks there is no embedding for them
            "mask_feature_prob": 0.0,
            "apply_spec_augment": False,
        }
    )


def _check(config: Mapping[str, Any], shape: CodecShape) -> None:
    teacher = config.get("semantic_techer", "hubert_base_general")  # the files spell it like this
    mode = config.get("downsample_mode", "step_down")
    semantic = shape.semantic
    wrong = [f"semantic_techer {teacher!r}"] if not str(teacher).startswith("hubert_base") else []
    wrong += [f"downsample_mode {mode!r}"] if mode not in ("step_down", "avg") else []
    wrong += [f"strides {semantic.strides}"] if len(semantic.strides) != len(semantic.widths) - 2 else []
    scale = config.get("vq_scale", 1)
    wrong += [f"vq_scale {scale}"] if shape.joined // scale != shape.width else []
    wrong += [f"bins {config['bins']}"] if config.get("bins", shape.codebook_size) != shape.codebook_size else []
    if wrong:
        raise CheckpointRefused(f"{CONFIG} of the codec: this backend does not implement {', '.join(wrong)}")
