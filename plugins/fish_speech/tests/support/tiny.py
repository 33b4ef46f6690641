"""Tiny checkpoints of S1 and S2 with random weights, in the releases' layout. They speak until they are stopped."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from hub_fish_speech.config import read_config
from hub_fish_speech.model.dual_ar import DualAR
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from plugins.fish_speech.tests.support import codecs

CODES = 90
"""Entries of the codec's first codebook, and tokens that stand for audio."""

SIZES = {
    "n_layer": 2,
    "n_head": 4,
    "n_local_heads": 2,
    "head_dim": 8,
    "dim": 32,
    "intermediate_size": 48,
    "attention_qk_norm": True,
}
SPECIALS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|voice|>",
    "<|interleave|>",
    "<|phoneme_start|>",
    "<|phoneme_end|>",
    *(f"<|semantic:{code}|>" for code in range(CODES)),
]
FAST = {"n_layer": 1, "n_head": 2, "n_local_heads": 1, "head_dim": 8, "dim": 16, "intermediate_size": 24}


def make_s1(folder: Path, *, codec: dict[str, Any] | None = None, positions: int = 2048) -> Path:
    """OpenAudio S1's layout: tiktoken, one model.pth, a DAC of 64 samples a frame, or of the sizes `codec`.

    Returns `folder`.
    """
    data = {
        **SIZES,
        "model_type": "dual_ar",
        "vocab_size": 256 + len(SPECIALS),
        "max_seq_len": positions,
        "rope_base": 10000,
        "norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "num_codebooks": 3,
        "codebook_size": CODES,
        "scale_codebook_embeddings": True,
        "n_fast_layer": FAST["n_layer"],
        **{f"fast_{name}": value for name, value in FAST.items() if name != "n_layer"},
        "fast_attention_qk_norm": False,
    }
    codecs.build("dac", folder / "scratch", sizes=codec).write(folder)
    (folder / "config.json").write_text(json.dumps(data))
    lines = [f"{base64.b64encode(bytes([byte])).decode()} {byte}" for byte in range(256)]
    (folder / "tokenizer.tiktoken").write_text("\n".join(lines))
    (folder / "special_tokens.json").write_text(json.dumps({name: 256 + at for at, name in enumerate(SPECIALS)}))
    torch.save(weights(data, "s1", 256 + SPECIALS.index("<|im_end|>")), folder / "model.pth")
    return folder


def make_s2(folder: Path) -> Path:
    """S2 Pro's layout: a Hugging Face tokenizer, two shards with their own names, the same DAC. Returns `folder`."""
    text = {**SIZES, "vocab_size": 256 + len(SPECIALS), "max_seq_len": 4096, "rope_base": 10000, "norm_eps": 1e-6}
    audio = {**FAST, "dim": 32, "vocab_size": CODES, "num_codebooks": 3, "text_dim": 32, "attention_qk_norm": False}
    data = {
        "model_type": "fish_qwen3_omni",
        "text_config": {**text, "tie_word_embeddings": True},
        "audio_decoder_config": audio,
    }
    codecs.build("dac", folder / "scratch").write(folder)
    (folder / "config.json").write_text(json.dumps(data))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: at for at, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in SPECIALS])
    tokenizer.save(str(folder / "tokenizer.json"))
    state = weights(data, "s2", 256 + SPECIALS.index("<|im_end|>"))
    shards: dict[str, dict[str, Tensor]] = {
        "model-00001-of-00002.safetensors": {},
        "model-00002-of-00002.safetensors": {},
    }
    shard_of = {}
    for key, value in state.items():
        name, shard = _s2_name(key), list(shards)[key.startswith(("fast_", "codebook_"))]
        shards[shard][name] = value
        shard_of[name] = shard
    for shard, tensors in shards.items():
        save_file(tensors, folder / shard)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shard_of}))
    return folder


def tiny_model(folder: Path) -> dict[str, Any]:
    """A tiny checkpoint in `folder`, and the `[models.NAME]` table of a model that speaks with it."""
    options = {"threads": 1, "warm_up": False}
    return {"backend": "fish_speech", "path": str(make_s1(folder, positions=8192)), "device": "cpu", "options": options}


def recording(seconds: float = 0.5, pitch: float = 150.0) -> bytes:
    """A hum that swells, in a WAV file as synthesizers get their references: mono, 32-bit float."""
    time = np.arange(round(seconds * 24_000)) / 24_000
    file = io.BytesIO()
    hum = 0.3 * np.sin(2 * np.pi * pitch * time) * (1 + 0.5 * np.sin(2 * np.pi * 5 * time))
    soundfile.write(file, hum, 24_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def weights(data: dict[str, Any], variant: Any, im_end: int) -> dict[str, Tensor]:
    """Random weights. Main logits are far apart and that of `im_end` is 0, so that the end is almost never drawn."""
    config = read_config(data, variant)
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in DualAR(config).state_dict().items()}
    generator = torch.Generator().manual_seed(11)
    state = {}
    for key, shape in shapes.items():
        value = torch.randn(shape, generator=generator)
        state[key] = 1 + 0.1 * value if len(shape) == 1 else value / shape[-1] ** 0.5
    last = "embeddings.weight" if config.tied else "output.weight"
    state[last] *= 4
    state[last][im_end] = 0
    return state


def _s2_name(key: str) -> str:
    if key.startswith("codebook_embeddings."):
        return f"audio_decoder.{key}"
    return f"audio_decoder.{key.removeprefix('fast_')}" if key.startswith("fast_") else f"text_model.model.{key}"
