"""Checkpoints of Higgs Audio with random weights, of any size and in both layouts. For tests and benchmarks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from plugins.higgs_audio.tests.support.tokenizer import SPECIAL, tokenizer


@dataclass(frozen=True)
class Size:
    """Sizes of a checkpoint. The defaults are about the smallest; `RELEASE` is the published model's."""

    hidden: int = 64
    ffn: int = 96
    layers: int = 2
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 16
    codebooks: int = 8
    codebook_size: int = 64
    ratios: tuple[int, ...] = (8, 5, 4, 2, 3)
    encoder: int = 2
    decoder: int = 64
    acoustic: int = 16
    semantic: int = 32
    codebook_dim: int = 8
    hubert_layers: int = 2
    hubert_ffn: int = 48
    hubert_conv: int = 16
    vocabulary: int = 512


RELEASE = Size(
    hidden=3072,
    ffn=8192,
    layers=28,
    heads=24,
    kv_heads=8,
    head_dim=128,
    codebook_size=1024,
    encoder=64,
    decoder=1024,
    acoustic=256,
    semantic=768,
    codebook_dim=64,
    hubert_layers=12,
    hubert_ffn=3072,
    hubert_conv=512,
    vocabulary=128_256,
)


def write_language(
    folder: Path, size: Size, *, seed: int = 0, boson: bool = True, dtype: torch.dtype = torch.float32
) -> Path:
    """A language model in boson's layout, or in transformers'."""
    from hub_higgs_audio.checkpoint import HiggsAudioV2ForConditionalGeneration, language_config
    from hub_higgs_audio.layout import Part

    folder.mkdir(parents=True)
    config = language_json(size) if boson else flat_json(size)
    tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        net = HiggsAudioV2ForConditionalGeneration(language_config(Part(folder, config)), use_text_head=True)
    state = random_state({name: tuple(value.shape) for name, value in net.state_dict().items()}, seed, dtype)
    rows = state["audio_lm_head.weight"].view(size.codebooks, size.codebook_size + 2, -1)
    rows *= 2  # scores far enough apart that no audio ends at once,
    rows[:, -2:] = 0  # with EOS among the unlikely ids
    if boson:
        state = {_boson_language(name): value for name, value in state.items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def language_json(size: Size) -> dict[str, Any]:
    """boson's `config.json`."""
    ids = _special_ids()
    return {
        "model_type": "higgs_audio",
        "audio_adapter_type": "dual_ffn_fast_forward",
        "skip_audio_tower": True,
        "encode_whisper_embed": False,
        "encode_audio_in_tokens": True,
        "use_delay_pattern": True,
        "audio_dual_ffn_layers": list(range(size.layers)),
        "audio_num_codebooks": size.codebooks,
        "audio_codebook_size": size.codebook_size,
        "audio_stream_bos_id": size.codebook_size,
        "audio_stream_eos_id": size.codebook_size + 1,
        "audio_out_token_idx": ids["<|AUDIO_OUT|>"],
        "audio_out_bos_token_id": ids["<|audio_out_bos|>"],
        "pad_token_id": ids["<|end_of_text|>"],
        "text_config": {
            "model_type": "llama",
            **_sizes(size),
            "rope_theta": 500_000.0,
            "rope_scaling": _ROPE,
        },
    }


def flat_json(size: Size) -> dict[str, Any]:
    """transformers' `config.json`."""
    ids = _special_ids()
    return {
        "model_type": "higgs_audio_v2",
        **_sizes(size),
        "rope_parameters": {**_ROPE, "rope_theta": 500_000.0},
        "num_codebooks": size.codebooks,
        "codebook_size": size.codebook_size + 2,
        "audio_stream_bos_id": size.codebook_size,
        "audio_stream_eos_id": size.codebook_size + 1,
        "audio_token_id": ids["<|AUDIO_OUT|>"],
        "audio_bos_token_id": ids["<|audio_out_bos|>"],
        "audio_delay_token_id": ids["<|reserved_special_token_6|>"],
        "eos_token_id": ids["<|eot_id|>"],
        "bos_token_id": ids["<|begin_of_text|>"],
        "pad_token_id": ids["<|end_of_text|>"],
    }


def _special_ids() -> dict[str, int]:
    return {name: 256 + number for number, name in enumerate(SPECIAL)}


_ROPE = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def _sizes(size: Size) -> dict[str, Any]:
    return {
        "vocab_size": size.vocabulary,
        "hidden_size": size.hidden,
        "intermediate_size": size.ffn,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.head_dim,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "max_position_embeddings": 131_072,
    }


def _boson_language(name: str) -> str:
    for theirs, ours in (
        ("model.embed_audio_tokens.embed_audio_tokens.", "audio_codebook_embeddings."),
        ("audio_lm_head.", "audio_decoder_proj.audio_lm_head."),
        ("text_lm_head.", "audio_decoder_proj.text_lm_head."),
        ("model.", ""),
    ):
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def write_codec(folder: Path, size: Size, *, seed: int = 1) -> Path:
    """A codec in transformers' layout."""
    from hub_higgs_audio.model.codec import CodecNet
    from hub_higgs_audio.model.shape import CodecShape

    folder.mkdir(parents=True)
    config = codec_json(size)
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        net = CodecNet(_shape(CodecShape, size))
    state = random_state({name: tuple(value.shape) for name, value in net.state_dict().items()}, seed)
    state["acoustic_decoder.conv2.weight"] *= LOUD
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


LOUD = 1 / 150
"""A factor of the last convolution, so that random codes sound neither silent nor clipped."""


def codec_json(size: Size) -> dict[str, Any]:
    """transformers' `config.json` of the codec."""
    return {
        "model_type": "higgs_audio_v2_tokenizer",
        "sample_rate": 24_000,
        "semantic_sample_rate": 16_000,
        "acoustic_model_config": {
            "model_type": "dac",
            "downsampling_ratios": list(size.ratios),
            "upsampling_ratios": list(size.ratios),
        },
        "semantic_model_config": {"model_type": "hubert", "num_attention_heads": max(1, size.semantic // 64)},
        "target_bandwidths": [2.0],
    }


def _shape(kind: Any, size: Size) -> Any:
    from hub_higgs_audio.model.shape import SemanticShape
    from transformers import HubertConfig

    hubert = HubertConfig(
        hidden_size=size.semantic,
        num_hidden_layers=size.hubert_layers,
        num_attention_heads=max(1, size.semantic // 64),
        intermediate_size=size.hubert_ffn,
        conv_dim=(size.hubert_conv,) * 7,
        mask_time_prob=0.0,
    )
    return kind(
        sample_rate=24_000,
        semantic_rate=16_000,
        ratios=size.ratios,
        encoder_width=size.encoder,
        decoder_width=size.decoder,
        acoustic=size.acoustic,
        width=size.acoustic + size.semantic,
        semantic=SemanticShape(widths=(size.semantic,) * 4),
        codebooks=size.codebooks,
        codebook_size=size.codebook_size,
        codebook_dim=size.codebook_dim,
        hubert=hubert,
    )


def random_state(
    shapes: dict[str, tuple[int, ...]], seed: int, dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Weights that let signals through: ones for norms and snakes, zeros for biases, else normal by their fan-in."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in sorted(shapes.items()):
        if name.endswith(".alpha") or ("norm" in name and name.endswith("weight")):
            state[name] = torch.ones(shape, dtype=dtype)
        elif name.endswith("bias"):
            state[name] = torch.zeros(shape, dtype=dtype)
        else:
            fan = max(1, int(torch.tensor(shape[1:]).prod())) if len(shape) > 1 else 1
            scale = 1.0 if "embed" in name else fan**-0.5
            state[name] = (torch.randn(shape, generator=generator) * scale).to(dtype)
    return state


def write_checkpoint(folder: Path, size: Size | None = None, *, boson: bool = True, seed: int = 0) -> Path:
    """A checkpoint with both parts in `folder`, the `path` of a model."""
    size = size or Size()
    write_language(folder / "language", size, seed=seed, boson=boson)
    write_codec(folder / "codec", size, seed=seed + 1)
    return folder


def tiny_model(folder: Path) -> dict[str, Any]:
    """A tiny checkpoint in `folder`, and the `[models.NAME]` table of a model that speaks with it."""
    return {"backend": "higgs_audio", "path": str(write_checkpoint(folder)), "device": "cpu"}
