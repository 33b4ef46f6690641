"""Sizes of the two codecs. The defaults are those of the releases, which carry no codec configuration of their own.

A `modded_dac_vq.yaml` or `firefly_gan_vq.yaml` beside the weights overrides them. It is a file of the model's training
code, read as data: `_target_` and other keys that name code are ignored.
"""

from __future__ import annotations

import math
from typing import Literal

from msgspec import Struct, field

from hub_fish_speech.config import default_ffn


class TransformerSizes(Struct, kw_only=True, frozen=True):
    """A transformer inside the DAC. Keys and values have as many heads as queries."""

    n_layer: int = 8
    n_head: int = 16
    dim: int = 1024
    intermediate_size: int | None = 3072
    head_dim: int = 64
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5
    pos_embed_type: Literal["rope"] = "rope"

    @property
    def ffn(self) -> int:
        """Inner width of the feed-forward: Llama's if it is null."""
        return self.intermediate_size or default_ffn(self.dim)


class WindowedSizes(Struct, kw_only=True, frozen=True):
    """A transformer that looks back over `window_size` steps, itself included; None: over everything."""

    window_size: int | None = 128
    input_dim: int = 1024
    causal: Literal[True] = True
    config: TransformerSizes = TransformerSizes()


class GeneralSizes(Struct, kw_only=True, frozen=True):
    """Sizes that the encoder's own transformers share."""

    head_dim: int = 64
    rope_base: float = 10_000.0
    norm_eps: float = 1e-5


class DacQuantizerSizes(Struct, kw_only=True, frozen=True):
    """One semantic codebook and `n_codebooks` residual ones, at the encoder's rate over `downsample_factor`."""

    input_dim: int = 1024
    n_codebooks: int = 9
    codebook_size: int = 1024
    codebook_dim: int = 8
    semantic_codebook_size: int = 4096
    downsample_factor: tuple[int, ...] = (2, 2)
    downsample_dims: tuple[int, ...] | None = None
    pre_module: WindowedSizes = WindowedSizes()
    post_module: WindowedSizes = WindowedSizes()


class DacSizes(Struct, kw_only=True, frozen=True):
    """The modded DAC of S1 and S2."""

    sample_rate: int = 44_100
    causal: Literal[True] = True
    encoder_dim: int = 64
    encoder_rates: tuple[int, ...] = (2, 4, 8, 8)
    latent_dim: int | None = None
    decoder_dim: int = 1536
    decoder_rates: tuple[int, ...] = (8, 8, 4, 2)
    encoder_transformer_layers: tuple[int, ...] = (0, 0, 0, 4)
    transformer_general_config: GeneralSizes = GeneralSizes()
    quantizer: DacQuantizerSizes = DacQuantizerSizes()

    @property
    def latent(self) -> int:
        """Channels between encoder, quantizer and decoder."""
        return self.latent_dim or self.encoder_dim * 2 ** len(self.encoder_rates)

    @property
    def hop(self) -> int:
        """Samples of one step of the encoder."""
        return math.prod(self.encoder_rates)

    @property
    def frame(self) -> int:
        """Samples of one decoded column of codes."""
        return math.prod(self.decoder_rates) * math.prod(self.quantizer.downsample_factor)


class MelSizes(Struct, kw_only=True, frozen=True):
    """The log-mel spectrogram that the firefly encoder reads."""

    sample_rate: int = 44_100
    n_mels: int = 160
    n_fft: int = 2048
    hop_length: int = 512
    win_length: int = 2048
    f_min: float = 0.0
    f_max: float | None = None


class BackboneSizes(Struct, kw_only=True, frozen=True):
    """The ConvNeXt encoder of firefly."""

    input_channels: int = 160
    depths: tuple[int, ...] = (3, 3, 9, 3)
    dims: tuple[int, ...] = (128, 256, 384, 512)
    kernel_size: int = 7


class HeadSizes(Struct, kw_only=True, frozen=True):
    """The HiFi-GAN decoder of firefly."""

    hop_length: int = 512
    upsample_rates: tuple[int, ...] = (8, 8, 2, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 4, 4, 4)
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    num_mels: int = 512
    upsample_initial_channel: int = 512
    pre_conv_kernel_size: int = 13
    post_conv_kernel_size: int = 13


class FsqSizes(Struct, kw_only=True, frozen=True):
    """Finite scalar quantization in `n_groups` groups of channels, `n_codebooks` residual steps each."""

    input_dim: int = 512
    n_codebooks: int = 1
    n_groups: int = 8
    levels: tuple[int, ...] = (8, 5, 5, 5)
    downsample_factor: tuple[int, ...] = (2, 2)
    downsample_dims: tuple[int, ...] | None = None


class FireflySizes(Struct, kw_only=True, frozen=True):
    """The firefly-GAN codec of 1.4 and 1.5."""

    spec_transform: MelSizes = MelSizes()
    backbone: BackboneSizes = BackboneSizes()
    head: HeadSizes = HeadSizes()
    quantizer: FsqSizes = field(default_factory=FsqSizes)

    @property
    def frame(self) -> int:
        """Samples of one column of codes."""
        return self.spec_transform.hop_length * math.prod(self.quantizer.downsample_factor)
