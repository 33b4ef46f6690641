"""llm.pt -> the language model of its generation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hub.contract.errors import WorkerStartFailed
from hub.nn.layout import lay_out
from hub.nn.weights import CheckpointError, load_state, load_strict
from hub_cosyvoice.config import Config
from hub_cosyvoice.model.lm.base import SpeechLM
from hub_cosyvoice.model.lm.conformer import ConformerLM
from hub_cosyvoice.model.lm.qwen import QwenLM, QwenSizes


def load_lm(folder: Path, config: Config, device: torch.device, dtype: torch.dtype, file: str = "llm.pt") -> SpeechLM:
    """The model in `file` on `device`, in `dtype`. Raises CheckpointError or WorkerStartFailed."""
    state = load_state(folder / file)
    lm = _conformer(config, state, file) if config.generation == 1 else _qwen(folder, config, state, file)
    lm = lm.to(device=device, dtype=dtype).requires_grad_(False).eval()
    lay_out(lm, device)
    return lm


def _conformer(config: Config, state: Mapping[str, Tensor], file: str) -> SpeechLM:
    with torch.device("meta"):
        lm = ConformerLM(config.llm)
    load_strict(lm, conformer_state(state), file)
    return lm


def _qwen(folder: Path, config: Config, state: Mapping[str, Tensor], file: str) -> SpeechLM:
    wanted = ("llm.model.model.embed_tokens.weight", "llm_decoder.weight")
    for key in wanted:
        if key not in state or not state[key].dim():
            raise CheckpointError(f"{file} lacks {key}; it is for another model", file=file, key=key)
    texts, vocabulary = (len(state[key]) for key in wanted)
    speech_tokens = int(config.llm["speech_token_size"])
    specials = 3 if config.generation == 2 else 4
    if vocabulary < speech_tokens + specials:
        raise CheckpointError(
            f"{file}: {wanted[1]} has {vocabulary} rows; {config.file} needs more than {speech_tokens}",
            file=file,
            key=wanted[1],
        )
    sizes = read_sizes(folder / "CosyVoice-BlankEN" / "config.json")
    with torch.device("meta"):
        lm = QwenLM(
            sizes, generation=config.generation, texts=texts, speech_tokens=speech_tokens, vocabulary=vocabulary
        )
    load_strict(lm, qwen_state(state, config.generation, speech_tokens), file)
    return lm


def read_sizes(file: Path) -> QwenSizes:
    """The sizes in a config.json of Qwen2. Raises WorkerStartFailed if it is missing or not complete."""
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        heads = int(found["num_attention_heads"])
        width = int(found["hidden_size"])
        return QwenSizes(
            width=width,
            hidden=int(found["intermediate_size"]),
            layers=int(found["num_hidden_layers"]),
            heads=heads,
            groups=int(found.get("num_key_value_heads", heads)),
            head_dim=int(found.get("head_dim") or width // heads),
            eps=float(found["rms_norm_eps"]),
            base=float(found.get("rope_theta") or (found.get("rope_parameters") or {}).get("rope_theta", 10000.0)),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkerStartFailed(
            f"{file.parent.name}/{file.name} is missing or not complete ({error}): fetch the checkpoint again"
        ) from error


def conformer_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of an llm.pt under the names of `ConformerLM`."""
    renamed: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        if not key.startswith("llm."):
            renamed[key] = value
            continue
        name = key.removeprefix("llm.").replace("embed.out.", "embed.").replace("encoders.", "blocks.")
        name = name.replace("feed_forward.", "")
        for part in ("linear_q", "linear_k", "linear_v"):
            if part in name:
                fused = name.replace(part, "qkv")
                parts.setdefault(fused, {})[part] = value
                break
        else:
            renamed[name] = value
    for name, found in parts.items():
        renamed[name] = torch.cat([found[part] for part in ("linear_q", "linear_k", "linear_v") if part in found])
    return renamed


def qwen_state(state: Mapping[str, Tensor], generation: int, speech_tokens: int) -> dict[str, Tensor]:
    """The tensors of an llm.pt under the names of `QwenLM`.

    `lm_head` is tied to the text embedding and not used. The third generation keeps its special ids among the speech
    embeddings.
    """
    prefix = "llm.model.model."
    renamed: dict[str, Tensor] = {}
    parts: dict[tuple[str, str], dict[str, Tensor]] = {}
    for key, value in state.items():
        if not key.startswith(prefix):
            if key != "llm.model.lm_head.weight":
                renamed[_OUTSIDE.get(key, key)] = value
            continue
        name = key.removeprefix(prefix)
        if not name.startswith("layers."):
            renamed[_OUTSIDE.get(name, name)] = value
            continue
        _, number, module, *rest = name.split(".")
        where = f"blocks.{number}"
        inner = f"{module}.{rest[0]}" if len(rest) > 1 else module
        if inner in _FUSED:
            fused, part = _FUSED[inner]
            parts.setdefault((f"{where}.{fused}", rest[-1]), {})[part] = value
        else:
            renamed[f"{where}.{_INSIDE.get(inner, inner)}.{rest[-1]}"] = value
    for (where, kind), found in parts.items():
        renamed[f"{where}.{kind}"] = torch.cat([found[part] for part in sorted(found)])
    if generation == 3 and (table := renamed.get("speech_embedding.weight")) is not None:
        renamed["specials.weight"] = table[[speech_tokens, speech_tokens + 2]]
    return renamed


_OUTSIDE = {
    "embed_tokens.weight": "text_embedding.weight",
    "norm.weight": "norm.weight",
    "llm_decoder.weight": "head.weight",
    "llm_decoder.bias": "head.bias",
    "llm_embedding.weight": "specials.weight",
}
_INSIDE = {
    "self_attn.o_proj": "out",
    "mlp.down_proj": "down",
    "input_layernorm": "norm_attention",
    "post_attention_layernorm": "norm_mlp",
}
_FUSED = {
    "self_attn.q_proj": ("qkv", "0"),
    "self_attn.k_proj": ("qkv", "1"),
    "self_attn.v_proj": ("qkv", "2"),
    "mlp.gate_proj": ("gate_up", "0"),
    "mlp.up_proj": ("gate_up", "1"),
}
