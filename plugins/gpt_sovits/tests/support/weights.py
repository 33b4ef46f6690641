"""S1 and S2 files with random weights, in the official layout and of any size.

`acoustic_file("v2", TINY)` takes a fraction of a second; FULL has the sizes of the released weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hub_gpt_sovits.checkpoint import HEADS, V1_SYMBOLS, Version
from hub_gpt_sovits.model.hifigan import HifiGan
from hub_gpt_sovits.model.prior import PriorEncoder, Quantizer
from hub_gpt_sovits.model.style import StyleEncoder
from hub_gpt_sovits.model.wavenet import FeatureEncoder, Flow
from hub_gpt_sovits.networks import BLOCK_DILATIONS, BLOCK_KERNELS
from torch import Tensor, nn

SYMBOLS, VOCABULARY = 732, 1025
RATES, KERNELS, PLUS_KERNELS = [10, 8, 2, 2, 2], [16, 16, 8, 2, 2], [20, 16, 8, 2, 2]
BINS, STYLE_BINS, MEL = 1025, 704, 100

LOUDER = 8
"""Factor of the decoder's last convolution: without it random weights whisper, and all voices sound alike."""


@dataclass(frozen=True)
class Sizes:
    """Widths and depths. `bert_layers` and `hubert_layers` count all layers of the files."""

    semantic: int = 768
    hubert_layers: int = 12
    hubert_inner: int = 3072
    hubert_conv: int = 512
    bert: int = 1024
    bert_layers: int = 24
    bert_inner: int = 4096
    heads: int = 16
    s1: int = 512
    s1_layers: int = 24
    max_sec: float = 54
    hidden: int = 192
    filters: int = 768
    layers: int = 6
    gin: int = 512
    mrte_width: int = 512
    style: int = 128
    decoder: int = 512
    features: int = 512
    dit: int = 1024
    dit_layers: int = 22
    speaker_stem: int = 64
    vocoder: int = 512
    bigvgan: int = 1536


FULL = Sizes()
TINY = Sizes(
    semantic=32, hubert_layers=2, hubert_inner=48, hubert_conv=16, bert=32, bert_layers=4, bert_inner=48, heads=4,
    s1=32, s1_layers=2, max_sec=0.5, hidden=32, filters=48, layers=2, gin=32, mrte_width=32, style=16, decoder=64,
    features=32, dit=64, dit_layers=2, speaker_stem=8, vocoder=32, bigvgan=64,
)  # fmt: skip


def save(path: Path, content: Any, head: bytes = b"PK") -> None:
    """`torch.save`, with the two bytes that newer files begin with."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    if head != b"PK":
        assert head in HEADS
        with path.open("r+b") as opened:
            opened.write(head)


def semantic_shapes(sizes: Sizes, symbols: int) -> dict[str, tuple[int, ...]]:
    """The tensors of S1, names without `model.`."""
    width, vocabulary = sizes.s1, VOCABULARY
    shapes: dict[str, tuple[int, ...]] = {
        "bert_proj.weight": (width, sizes.bert),
        "bert_proj.bias": (width,),
        "ar_text_embedding.word_embeddings.weight": (symbols, width),
        "ar_text_position.alpha": (1,),
        "ar_audio_embedding.word_embeddings.weight": (vocabulary, width),
        "ar_audio_position.alpha": (1,),
        "ar_predict_layer.weight": (vocabulary, width),
    }
    for number in range(sizes.s1_layers):
        for name, shape in (
            ("self_attn.in_proj_weight", (3 * width, width)),
            ("self_attn.in_proj_bias", (3 * width,)),
            ("self_attn.out_proj.weight", (width, width)),
            ("self_attn.out_proj.bias", (width,)),
            ("linear1.weight", (4 * width, width)),
            ("linear1.bias", (4 * width,)),
            ("linear2.weight", (width, 4 * width)),
            ("linear2.bias", (width,)),
            ("norm1.weight", (width,)),
            ("norm1.bias", (width,)),
            ("norm2.weight", (width,)),
            ("norm2.bias", (width,)),
        ):
            shapes[f"h.layers.{number}.{name}"] = shape
    return shapes


def semantic_file(sizes: Sizes, symbols: int = SYMBOLS) -> dict[str, Any]:
    """An S1 file. Its end token never comes by itself, so speech ends at the early stop: `max_sec` * 50 tokens."""
    width, vocabulary = sizes.s1, VOCABULARY
    weights = scattered(semantic_shapes(sizes, symbols))
    weights["ar_predict_layer.weight"] *= 4
    weights["ar_predict_layer.weight"][-1] = 0
    model = {
        "vocab_size": vocabulary,
        "phoneme_vocab_size": symbols,
        "embedding_dim": width,
        "hidden_dim": width,
        "head": sizes.heads,
        "linear_units": 4 * width,
        "n_layer": sizes.s1_layers,
        "dropout": 0,
        "EOS": vocabulary - 1,
        "random_bert": 0,
    }
    config = {"model": model, "data": {"max_sec": sizes.max_sec, "pad_val": 1024}, "inference": {"top_k": 15}}
    return {
        "weight": {f"model.{name}": value.half() for name, value in weights.items()},
        "config": {**config, "train": {}, "optimizer": {}},
        "info": "GPT-e0",
    }


def acoustic_config(version: Version, sizes: Sizes) -> dict[str, Any]:
    """The section `model` of an S2 file's configuration."""
    plus = version == "v2ProPlus"
    return {
        "inter_channels": sizes.hidden,
        "hidden_channels": sizes.hidden,
        "filter_channels": sizes.filters,
        "n_heads": 2,
        "n_layers": sizes.layers,
        "kernel_size": 3,
        "p_dropout": 0.1,
        "resblock": "1",
        "resblock_kernel_sizes": list(BLOCK_KERNELS),
        "resblock_dilation_sizes": [list(one) for one in BLOCK_DILATIONS],
        "upsample_rates": RATES,
        "upsample_initial_channel": sizes.decoder * 3 // 2 if plus else sizes.decoder,
        "upsample_kernel_sizes": PLUS_KERNELS if plus else KERNELS,
        "n_layers_q": 3,
        "use_spectral_norm": False,
        "gin_channels": 2 * sizes.gin if "Pro" in version else sizes.gin,
        "semantic_frame_rate": "25hz",
        "freeze_quantizer": True,
        "version": version,
    }


def acoustic_parts(version: Version, sizes: Sizes, model: dict[str, Any]) -> dict[str, nn.Module]:
    """The networks of S2 by name, but for the flow of v3 and v4."""
    is_pro, gin = "Pro" in version, model["gin_channels"]
    parts: dict[str, nn.Module] = {
        "enc_p": PriorEncoder(
            semantic=sizes.semantic,
            hidden=sizes.hidden,
            filters=sizes.filters,
            heads=2,
            layers=sizes.layers,
            kernel=3,
            symbols=V1_SYMBOLS if version == "v1" else SYMBOLS,
            mrte_width=sizes.mrte_width if is_pro else gin,
            out=model["inter_channels"],
        ),
        "ref_enc": StyleEncoder(BINS if version == "v1" else STYLE_BINS, sizes.style, gin),
        "ssl_proj": nn.Conv1d(sizes.semantic, sizes.semantic, 2, stride=2),
        "quantizer": Quantizer(1024, sizes.semantic),
    }
    parts |= _flow_parts(sizes, gin) if version in ("v3", "v4") else _vits_parts(sizes, model, gin)
    if is_pro:
        vector = 8 * sizes.speaker_stem * 4 * 10
        parts |= {
            "sv_emb": nn.Linear(vector, gin),
            "ge_to512": nn.Linear(gin, sizes.mrte_width),
            "prelu": nn.PReLU(gin),
        }
    return parts


def acoustic_file(version: Version, sizes: Sizes) -> dict[str, Any]:
    """An S2 file."""
    model = acoustic_config(version, sizes)
    parts = acoustic_parts(version, sizes, model)
    weights = {f"{part}.{name}": value for part, net in parts.items() for name, value in drawn(net).items()}
    codebook = "quantizer.vq.layers.0._codebook."
    weights[codebook + "embed"] = torch.randn_like(weights[codebook + "embed"])
    weights[codebook + "inited"] = torch.ones(1)
    if "dec.conv_post.weight" in weights:
        weights["dec.conv_post.weight"] *= LOUDER
    if version in ("v3", "v4"):
        weights |= {f"cfm.estimator.{name}": value for name, value in scattered(dit_shapes(sizes)).items()}
        rates = 1.0 / (10000 ** (torch.arange(0, 64, 2).float() / 64))
        weights["cfm.estimator.rotary_embed.inv_freq"] = rates
    weights = with_weight_norm(
        weights, ("dec.ups.", "dec.resblocks.", ".in_layers.", ".res_skip_layers.", ".cond_layer")
    )
    data = {"sampling_rate": 32000, "filter_length": 2048, "hop_length": 640, "win_length": 2048, "n_speakers": 300}
    return {
        "weight": {name: value.half() for name, value in weights.items()},
        "config": {"data": data, "model": model, "train": {"segment_size": 20480}},
        "info": "0epoch_0iteration",
    }


def _vits_parts(sizes: Sizes, model: dict[str, Any], gin: int) -> dict[str, nn.Module]:
    decoder = HifiGan(
        model["inter_channels"],
        width=model["upsample_initial_channel"],
        rates=RATES,
        kernels=model["upsample_kernel_sizes"],
        block_kernels=BLOCK_KERNELS,
        block_dilations=BLOCK_DILATIONS,
        condition=gin,
    )
    return {"dec": decoder, "flow": Flow(model["inter_channels"], sizes.hidden, gin)}


def _flow_parts(sizes: Sizes, gin: int) -> dict[str, nn.Module]:
    width = sizes.features
    return {
        "bridge": nn.Sequential(nn.Conv1d(sizes.hidden, width, 1)),
        "wns1": FeatureEncoder(width, width, width, 8, gin),
        "linear_mel": nn.Conv1d(width, MEL, 1),
    }


def dit_shapes(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    """The flow's network, names without `cfm.estimator.`."""
    width, features = sizes.dit, sizes.features
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, inside: int, out: int) -> None:
        shapes.update({f"{name}.weight": (out, inside), f"{name}.bias": (out,)})

    for name in ("time_embed", "d_embed"):
        linear(f"{name}.time_mlp.0", 256, width)
        linear(f"{name}.time_mlp.2", width, width)
    for number in range(4):
        at = f"text_embed.text_blocks.{number}"
        shapes |= {f"{at}.dwconv.weight": (features, 1, 7), f"{at}.dwconv.bias": (features,)}
        shapes |= {f"{at}.norm.weight": (features,), f"{at}.norm.bias": (features,)}
        linear(f"{at}.pwconv1", features, 2 * features)
        shapes |= {f"{at}.grn.{one}": (1, 1, 2 * features) for one in ("gamma", "beta")}
        linear(f"{at}.pwconv2", 2 * features, features)
    linear("input_embed.proj", 2 * MEL + features, width)
    for number in (0, 2):
        at = f"input_embed.conv_pos_embed.conv1d.{number}"
        shapes |= {f"{at}.weight": (width, width // 16, 31), f"{at}.bias": (width,)}
    for number in range(sizes.dit_layers):
        at = f"transformer_blocks.{number}"
        linear(f"{at}.attn_norm.linear", width, 6 * width)
        for name in ("to_q", "to_k", "to_v", "to_out.0"):
            linear(f"{at}.attn.{name}", width, width)
        linear(f"{at}.ff.ff.0.0", width, 2 * width)
        linear(f"{at}.ff.ff.2", 2 * width, width)
    linear("norm_out.linear", width, 2 * width)
    linear("proj_out", width, MEL)
    return shapes


def scattered(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Random tensors that keep signals at their size: weights by their fan-in, norms at 1, biases at 0."""
    made: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            made[name] = torch.tensor(1)
        elif name.endswith(("bias", "running_mean", "beta")):
            made[name] = torch.zeros(shape)
        elif len(shape) == 1 or name.endswith("gamma"):
            made[name] = torch.ones(shape)
        else:
            fan_in = shape[-1] if "embedding" in name else math.prod(shape[1:])
            made[name] = torch.randn(shape) / math.sqrt(fan_in)
    return made


def drawn(net: nn.Module) -> dict[str, Tensor]:
    """The tensors of a network, with random numbers also where its own initialisation leaves them to files."""
    state = net.state_dict()
    for name, value in state.items():
        if name.endswith(("embedding.weight", "embeddings.weight", "emb_rel_k", "emb_rel_v")):
            state[name] = torch.randn(value.shape) * value.shape[-1] ** -0.5
    return state


def with_weight_norm(weights: dict[str, Tensor], below: Iterable[str]) -> dict[str, Tensor]:
    """Weights of three axes `below` these names as magnitude and direction, under torch's old names."""
    split: dict[str, Tensor] = {}
    for name, value in weights.items():
        if value.dim() == 3 and name.endswith(".weight") and any(one in name for one in below):
            split[name + "_g"], split[name + "_v"] = value.norm(dim=(1, 2), keepdim=True), value
        else:
            split[name] = value
    return split
