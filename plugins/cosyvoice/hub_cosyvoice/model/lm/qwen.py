"""The language model of the second and third generation: Qwen2 over text and speech embeddings.

The blocks are Qwen2's (arXiv 2407.10671): RMSNorm, grouped-query attention with biases on q, k and v, rotary positions
on halves, SiLU-gated feed-forward. Projections that read the same input are one matrix here: fewer, larger products.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hub.nn.attention import RMSNorm, attend, rotary_frequencies, rotary_table, rotate_half_split
from hub_cosyvoice.model.lm.base import SpeechLM, blank_embedding, ids_on
from hub_cosyvoice.model.lm.cache_view import CacheView


@dataclass(frozen=True)
class QwenSizes:
    """The sizes in Qwen2's config.json, under this package's names."""

    width: int
    hidden: int
    layers: int
    heads: int
    groups: int
    head_dim: int
    eps: float
    base: float


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

    def forward(self, x: Tensor, number: int, rotary: Tensor, cache: CacheView) -> Tensor:
        """x (1, T, H), rotary (T, D/2, 2) -> (1, T, H)."""
        sizes = self.sizes
        heads = self.qkv(self.norm_attention(x)).unflatten(-1, (-1, sizes.head_dim)).transpose(1, 2)  # (1, H+2G, T, D)
        rotated = rotate_half_split(heads[:, : sizes.heads + sizes.groups], rotary)
        query, key = rotated.split((sizes.heads, sizes.groups), 1)
        keys, values = cache.write(number, key, heads[:, sizes.heads + sizes.groups :])
        attended = attend(query, keys, values, mask=cache.mask, causal=cache.mask is None)  # (1, H, T, D)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(self.norm_mlp(x)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class QwenLM(SpeechLM):
    """Qwen2 with an embedding table and a head of speech tokens. The id of `fill` depends on `generation`."""

    fill: int

    def __init__(self, sizes: QwenSizes, *, generation: int, texts: int, speech_tokens: int, vocabulary: int) -> None:
        super().__init__()
        self.layers, self.groups, self.head_dim = sizes.layers, sizes.groups, sizes.head_dim
        self.speech_tokens = speech_tokens
        self.fill = speech_tokens + (2 if generation == 2 else 3)
        self.text_embedding = blank_embedding(texts, sizes.width)
        self.blocks = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.norm = RMSNorm(sizes.width, sizes.eps)
        self.speech_embedding = blank_embedding(vocabulary, sizes.width)
        self.head = nn.Linear(sizes.width, vocabulary, bias=generation == 2)
        self.specials = blank_embedding(2, sizes.width)  # the start of the sequence, and the task id
        self._frequencies = (sizes.head_dim, sizes.base)
        self._rotary = torch.zeros(0, sizes.head_dim // 2, 2)
        self._lock = threading.Lock()

    def reserve(self, positions: int) -> None:
        """Make the rotary table long enough. It never gets shorter, even if two requests call this at the same time."""
        with self._lock:
            if len(self._rotary) < positions or self._rotary.device != self.device:
                length = max(2048, 1 << (positions - 1).bit_length())
                self._rotary = rotary_table(length, rotary_frequencies(*self._frequencies, device=self.device))

    def sequence(self, text: Sequence[int], speech: Sequence[int], embedding: Tensor | None) -> Tensor:
        """Start, text, task id, speech. These generations hear the speaker in the prompt speech only."""
        parts = [self.start(), self.embed_text(text), self.task_id()]
        return torch.cat([*parts, self.embed_speech(ids_on(speech, self.device))], 1)

    def start(self) -> Tensor:
        """The embedding that starts a sequence, (1, 1, H)."""
        return self.specials.weight[None, :1]

    def task_id(self) -> Tensor:
        """The embedding between text and speech, (1, 1, H)."""
        return self.specials.weight[None, 1:]

    def embed_text(self, ids: Sequence[int]) -> Tensor:
        """N ids -> (1, N, H)."""
        return self.text_embedding(ids_on(ids, self.device))[None]

    def embed_speech(self, ids: Tensor) -> Tensor:
        """(N,) ids -> (1, N, H)."""
        return self.speech_embedding(ids)[None]

    def forward(self, x: Tensor, cache: CacheView) -> Tensor:
        """(1, T, H) -> the logits of the last position, (V,) float32."""
        rotary = self._rotary[cache.positions]
        for number, block in enumerate(self.blocks):
            x = block(x, number, rotary, cache)
        return self.head(self.norm(x[:, -1])).float()[0]
