"""A checkpoint in the layout and the full size of OpenAudio S1 mini, with random weights: for time and memory only.

The sizes are those in its users' logs. The language model is stored in bfloat16 like the release, the codec in float32
with its two styles of weight norm. Logits are spread like a trained model's, so that the nucleus is small. The
tokenizer has the release's number of tokens, without its merges.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import torch
from hub_fish_speech.config import read_config
from hub_fish_speech.model.codec.dac import Dac
from hub_fish_speech.model.codec.sizes import DacSizes
from hub_fish_speech.model.dual_ar import DualAR
from torch import Tensor, nn

S1_MINI = {
    "model_type": "dual_ar",
    "vocab_size": 155_776,
    "dim": 1024,
    "n_layer": 28,
    "n_head": 16,
    "n_local_heads": 8,
    "head_dim": 128,
    "intermediate_size": 3072,
    "rope_base": 1_000_000,
    "norm_eps": 1e-6,
    "max_seq_len": 8192,
    "tie_word_embeddings": False,
    "attention_qkv_bias": False,
    "attention_o_bias": False,
    "attention_qk_norm": True,
    "codebook_size": 4096,
    "num_codebooks": 10,
    "scale_codebook_embeddings": True,
    "n_fast_layer": 4,
    "fast_dim": 1024,
    "fast_n_head": 16,
    "fast_n_local_heads": 8,
    "fast_head_dim": 64,
    "fast_intermediate_size": 3072,
    "fast_attention_qkv_bias": False,
    "fast_attention_o_bias": False,
    "fast_attention_qk_norm": False,
}
RANKS = 151_643
SPECIALS = (
    *("begin_of_text", "end_of_text", "pad", "im_start", "im_end", "phoneme_start", "phoneme_end", "tool_call_start"),
    *("tool_call_end", "text", "voice", "interleave", "audio_start", "audio_end", "audio"),
)


def write_s1_mini(folder: Path) -> Path:
    """Write the checkpoint into `folder`, unless it exists."""
    done = folder / "config.json"
    if done.is_file() and json.loads(done.read_text()) == S1_MINI:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    _write_tokenizer(folder)
    torch.save(_language_model(), folder / "model.pth")
    torch.save(_codec(), folder / "codec.pth")
    done.write_text(json.dumps(S1_MINI))
    return folder


def _write_tokenizer(folder: Path) -> None:
    pieces = (number.to_bytes(1 if number < 256 else 3, "big") for number in range(RANKS))
    lines = (f"{base64.b64encode(piece).decode()} {rank}" for rank, piece in enumerate(pieces))
    (folder / "tokenizer.tiktoken").write_text("\n".join(lines))
    names = [f"<|{name}|>" for name in SPECIALS] + [f"<|semantic:{code}|>" for code in range(4096)]
    (folder / "special_tokens.json").write_text(json.dumps({name: RANKS + at for at, name in enumerate(names)}))


def _language_model() -> dict[str, Tensor]:
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in DualAR(read_config(S1_MINI, "s1")).state_dict().items()}
    return {
        key: torch.ones(shape, dtype=torch.bfloat16)
        if len(shape) == 1
        else torch.empty(shape, dtype=torch.bfloat16).normal_(std=0.15 if "output" in key else 0.02)
        for key, shape in shapes.items()
    }


def _codec() -> dict[str, Tensor]:
    network = Dac(DacSizes())
    for key, value in network.named_parameters():
        if key.endswith("gamma"):
            nn.init.constant_(value, 0.1)
    state: dict[str, Tensor] = {}
    for key, value in network.state_dict().items():
        module = key.removesuffix(".weight")
        gain = value.norm(dim=(1, 2), keepdim=True) if value.dim() == 3 else value
        if key.endswith(".conv.weight") and key.startswith(("encoder.", "decoder.")):
            state[f"{module}.parametrizations.weight.original0"] = gain
            state[f"{module}.parametrizations.weight.original1"] = value
        elif key.endswith("_proj.weight"):
            state |= {f"{module}.weight_g": gain, f"{module}.weight_v": value}
        else:
            state[key] = value
    return state
