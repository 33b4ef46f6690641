"""The language model of the second and third generation: Qwen2 over text and speech embeddings.

The blocks are Qwen2's (arXiv 2407.10671): RMSNorm, grouped-query attention with biases on q, k and v, rotary positions
on halves, SiLU-gated feed-forward. Projections that read the same input are one matrix here: fewer, larger products.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hub.contract.errors import WorkerStartFailed
from hub.nn.attention import RMSNorm, attend, rotary_frequencies, rotary_table, rotate_half_split
from hub_cosyvoice.lm.model import SpeechLM, ids_on
from hub_cosyvoice.lm.past import Past


@dataclass(frozen=True)
class QwenSizes:
    """Sizes of Qwen2's config.json, under this package's names."""

    width: int
    hidden: int
    layers: int
    heads: int
    groups: int
    head_dim: int
    eps: float
    base: float
    positions: int

    @classmethod
    def read(cls, file: Path) -> QwenSizes:
        """The sizes in `file`. Raises WorkerStartFailed if it is missing or not complete."""
        try:
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            heads = int(found["num_attention_heads"])
            width = int(found["hidden_size"])
            return cls(
                width=width,
                hidden=int(found["intermediate_size"]),
                layers=int(found["num_hidden_layers"]),
                heads=heads,
                groups=int(found.get("num_key_value_heads", heads)),
                head_dim=int(found.get("head_dim") or width // heads),
                eps=float(found["rms_norm_eps"]),
                base=float(found.get("rope_theta") or (found.get("rope_parameters") or {}).get("rope_theta", 10000.0)),
                positions=int(found.get("max_position_embeddings", 32768)),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WorkerStartFailed(
                f"{file.parent.name}/{file.name} is missing or not complete ({error}): fetch the checkpoint again"
            ) from error


class Layer(nn.Module):
    """One pre-norm block."""

    def __init__(self, sizes: QwenSizes) -> None:
        super().__init__()
        self.sizes = sizes
        inner, shared = sizes.heads * sizes.head_dim, sizes.groups * sizes.head_dim
        self.norm_attention = RMSNorm(sizes.width, sizes.eps)
        self.qkv = nn.Linear(sizes.width, inner + 2 * shared)
        self.out = nn.Linear(inner, sizes.width, bias=False)
        self.norm_mlp = RMSNorm(sizes.width, sizes.eps)
        self.gate_up = nn.Linear(sizes.width, 2 * sizes.hidden, bias=False)
        self.down = nn.Linear(sizes.hidden, sizes.width, bias=False)

    def forward(self, x: Tensor, number: int, rotary: Tensor, past: Past) -> Tensor:
        """x (1, T, H), rotary (T, D/2, 2) -> (1, T, H)."""
        sizes = self.sizes
        heads = self.qkv(self.norm_attention(x)).unflatten(-1, (-1, sizes.head_dim)).transpose(1, 2)  # (1, H+2G, T, D)
        turned = rotate_half_split(heads[:, : sizes.heads + sizes.groups], rotary)
        query, key = turned.split((sizes.heads, sizes.groups), 1)
        keys, values = past.write(number, key, heads[:, sizes.heads + sizes.groups :])
        seen = attend(query, keys, values, mask=past.mask, causal=past.mask is None)  # (1, H, T, D)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(self.norm_mlp(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class QwenLM(SpeechLM):
    """Qwen2 with a table and a head of speech tokens; `generation` tells where its marks are."""

    def __init__(self, sizes: QwenSizes, *, generation: int, texts: int, speech_tokens: int, vocabulary: int) -> None:
        super().__init__()
        self.layers, self.groups, self.head_dim = sizes.layers, sizes.groups, sizes.head_dim
        self.speech_tokens = speech_tokens
        self.eos = speech_tokens + (0 if generation == 2 else 1)
        self.fill = speech_tokens + (2 if generation == 2 else 3)
        self.text_embedding = nn.Embedding(texts, sizes.width)
        self.blocks = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.norm = RMSNorm(sizes.width, sizes.eps)
        self.speech_embedding = nn.Embedding(vocabulary, sizes.width)
        self.head = nn.Linear(sizes.width, vocabulary, bias=generation == 2)
        self.marks = nn.Embedding(2, sizes.width)  # the start of the sequence, and the task
        self._frequencies = (sizes.head_dim, sizes.base)
        self._rotary = torch.zeros(0, sizes.head_dim // 2, 2)
        self._lock = threading.Lock()

    def reserve(self, positions: int) -> None:
        """Make the rotary table long enough; it never gets shorter, whoever asks at the same time."""
        with self._lock:
            if len(self._rotary) < positions or self._rotary.device != self.device:
                length = max(2048, 1 << (positions - 1).bit_length())
                self._rotary = rotary_table(length, rotary_frequencies(*self._frequencies, device=self.device))

    def sequence(self, text: Sequence[int], speech: Sequence[int], embedding: Tensor | None) -> Tensor:
        """See `SpeechLM`; these generations hear the speaker in the prompt speech only."""
        parts = [self.start(), self.embed_text(text), self.task()]
        return torch.cat([*parts, self.embed_speech(ids_on(speech, self.device))], 1)

    def start(self) -> Tensor:
        """(1, 1, H)"""
        return self.marks.weight[None, :1]

    def task(self) -> Tensor:
        """(1, 1, H)"""
        return self.marks.weight[None, 1:]

    def embed_text(self, ids: Sequence[int]) -> Tensor:
        """(1, N, H)"""
        return self.text_embedding(ids_on(ids, self.device))[None]

    def embed_speech(self, ids: Tensor) -> Tensor:
        """See `SpeechLM`."""
        return self.speech_embedding(ids)[None]

    def forward(self, x: Tensor, past: Past) -> Tensor:
        """See `SpeechLM`."""
        rotary = self._rotary[past.positions]
        for number, block in enumerate(self.blocks):
            x = block(x, number, rotary, past)
        return self.head(self.norm(x[:, -1])).float()[0]


def qwen_state(state: Mapping[str, Tensor], generation: int, speech_tokens: int) -> dict[str, Tensor]:
    """The tensors of an llm.pt under the names of `QwenLM`.

    `lm_head` is tied and of no use. The third generation keeps its marks among the speech embeddings.
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
        renamed["marks.weight"] = table[[speech_tokens, speech_tokens + 2]]
    return renamed


_OUTSIDE = {
    "embed_tokens.weight": "text_embedding.weight",
    "norm.weight": "norm.weight",
    "llm_decoder.weight": "head.weight",
    "llm_decoder.bias": "head.bias",
    "llm_embedding.weight": "marks.weight",
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
