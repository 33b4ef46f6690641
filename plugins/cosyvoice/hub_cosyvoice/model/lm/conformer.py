"""The language model of the first generation: a causal text encoder and a decoder with relative positions.

Positions follow Transformer-XL (arXiv 1901.02860, section 3.3) in ESPnet's form. A decoder looks back only, so of
ESPnet's table only the distances 0, 1, 2, ... matter. Their projections depend on the weights alone and are kept.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hub.nn.attention import attend
from hub_cosyvoice.config import Node
from hub_cosyvoice.model.flow.conformer import ConformerLayer, Embed, chunk_mask, position_table
from hub_cosyvoice.model.lm.base import SpeechLM, blank_embedding, ids_on
from hub_cosyvoice.model.lm.cache_view import CacheView


class TextEncoder(nn.Module):
    """Conformer layers in which each token sees itself and those before it. (1, N, E) -> (1, N, D)."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        width = int(node["output_size"])
        self.embed = Embed(int(node["input_size"]), width)
        self.encoders = nn.ModuleList(
            ConformerLayer(width, int(node["attention_heads"]), int(node["linear_units"]))
            for _ in range(int(node["num_blocks"]))
        )
        self.after_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(1, N, E) -> (1, N, D)."""
        x = self.embed(x)
        table = position_table(x.shape[1], x.shape[2], x)
        mask = chunk_mask(x.shape[1], 1, x.device)
        for layer in self.encoders:
            x = layer(x, table, mask)
        return self.after_norm(x)


class DecoderAttention(nn.Module):
    """Scores (q + u) k + (q + v) p over sqrt(D), p the projection of the distance between query and key."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, width // heads
        self.qkv = nn.Linear(width, 3 * width)
        self.linear_out = nn.Linear(width, width)
        self.linear_pos = nn.Linear(width, width, bias=False)
        self.pos_bias_u = nn.Parameter(torch.zeros(heads, self.head_dim))
        self.pos_bias_v = nn.Parameter(torch.zeros(heads, self.head_dim))

    def distances(self, table: Tensor) -> Tensor:
        """Sinusoids (N, width) of distances N-1 .. 0 -> their projections (H, D, N)."""
        return self.linear_pos(table).unflatten(-1, (self.heads, -1)).permute(1, 2, 0).contiguous()

    def forward(self, x: Tensor, number: int, distances: Tensor, cache: CacheView) -> Tensor:
        """x (1, T, width), distances (H, D, N) with N >= cache.visible, the last for distance 0 -> (1, T, width)."""
        heads = self.qkv(x).unflatten(-1, (3 * self.heads, -1)).transpose(1, 2)  # (1, 3H, T, D)
        query, key, value = heads.chunk(3, 1)
        keys, values = cache.write(number, key, value)
        by_distance = (query + self.pos_bias_v[:, None]) @ distances[..., -cache.visible :]  # (1, H, T, S)
        bias = _by_key(by_distance, cache) / math.sqrt(self.head_dim)
        attended = attend(query + self.pos_bias_u[:, None], keys, values, mask=bias)
        return self.linear_out(attended.transpose(1, 2).flatten(2))


def _by_key(scores: Tensor, cache: CacheView) -> Tensor:
    """Scores by distance (1, H, T, S), the last column for distance 0 -> by key (1, H, T, S); -inf where invisible."""
    if cache.mask is None and scores.shape[2] == 1:
        return scores  # the key at the query's own position is the last one: both orders are the same
    key = torch.arange(cache.visible, device=scores.device)
    distance = cache.positions[:, None] - key  # (T, S)
    column = (cache.visible - 1 - distance).clamp(0, cache.visible - 1)
    shifted = scores.gather(-1, column.expand(scores.shape))
    return shifted.masked_fill(distance < 0, -math.inf)


class DecoderLayer(nn.Module):
    """One pre-norm layer with a ReLU feed-forward; the norms have eps 1e-12."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.self_attn = DecoderAttention(width, heads)
        self.w_1 = nn.Linear(width, hidden)
        self.w_2 = nn.Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width, eps=1e-12)
        self.norm2 = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, number: int, distances: Tensor, cache: CacheView) -> Tensor:
        """(1, T, D) -> (1, T, D)."""
        x = x + self.self_attn(self.norm1(x), number, distances, cache)
        return x + self.w_2(F.relu(self.w_1(self.norm2(x))))


class ConformerLM(SpeechLM):
    """Text encoder, decoder, and the tables around them."""

    fill: int | None = None

    def __init__(self, node: Node) -> None:
        super().__init__()
        encoder, decoder = node["text_encoder"], node["llm"]
        width, inputs = int(decoder["output_size"]), int(node["llm_input_size"])
        heads = int(decoder["attention_heads"])
        self.layers, self.groups, self.head_dim = int(decoder["num_blocks"]), heads, width // heads
        self.speech_tokens = int(node["speech_token_size"])
        self.text_embedding = blank_embedding(int(node["text_token_size"]), int(node["text_encoder_input_size"]))
        self.text_encoder = TextEncoder(encoder)
        self.text_encoder_affine_layer = nn.Linear(int(encoder["output_size"]), inputs)
        self.spk_embed_affine_layer = nn.Linear(int(node.get("spk_embed_dim", 192)), inputs)
        self.llm_embedding = blank_embedding(2, inputs)  # the start of the sequence, and the task id
        self.speech_embedding = blank_embedding(self.speech_tokens, inputs)
        self.embed = nn.Sequential(nn.Linear(inputs, width), nn.LayerNorm(width), nn.ReLU())
        blocks = [DecoderLayer(width, heads, int(decoder["linear_units"])) for _ in range(self.layers)]
        self.blocks = nn.ModuleList(blocks)
        self._attentions = [block.self_attn for block in blocks]
        self.after_norm = nn.LayerNorm(width)
        self.llm_decoder = nn.Linear(width, self.speech_tokens + 1)
        self._scale = math.sqrt(width)
        self._distances: list[Tensor] = []
        self._lock = threading.Lock()

    def reserve(self, positions: int) -> None:
        """Project the distances up to `positions` in all layers, and keep them: they are the same for every request."""
        with self._lock:
            if self._distances and self._distances[0].shape[-1] >= positions:
                return
            length = max(512, 1 << (positions - 1).bit_length())
            weight = self.after_norm.weight
            table = position_table(length, len(weight), weight)[:length]  # distances length - 1 .. 0
            with torch.inference_mode():
                self._distances = [attention.distances(table) for attention in self._attentions]

    def encode_text(self, ids: Sequence[int]) -> Tensor:
        """Text ids -> (1, N, H)."""
        embedded = self.text_embedding(ids_on(ids, self.device))[None]
        return self.text_encoder_affine_layer(self.text_encoder(embedded))

    def sequence(self, text: Sequence[int], speech: Sequence[int], embedding: Tensor | None) -> Tensor:
        """Start, speaker, text, task id, speech. Without an embedding the speaker is absent, not zero."""
        parts = [self.llm_embedding.weight[None, :1]]
        if embedding is not None:
            weight = self.spk_embed_affine_layer.weight
            direction = F.normalize(embedding.to(weight.device, torch.float32), dim=0).to(weight.dtype)
            parts.append(self.spk_embed_affine_layer(direction)[None, None])
        parts += [self.encode_text(text), self.llm_embedding.weight[None, 1:]]
        return torch.cat([*parts, self.embed_speech(ids_on(speech, self.device))], 1)

    def embed_speech(self, ids: Tensor) -> Tensor:
        """(N,) ids -> (1, N, H)."""
        return self.speech_embedding(ids)[None]

    def forward(self, x: Tensor, cache: CacheView) -> Tensor:
        """(1, T, H) -> the logits of the last position, (V,) float32."""
        x = self.embed(x) * self._scale
        for number, (block, distances) in enumerate(zip(self.blocks, self._distances, strict=True)):
            x = block(x, number, distances, cache)
        return self.llm_decoder(self.after_norm(x[:, -1])).float()[0]
