"""S1: phones, text features and the tokens of a reference -> semantic tokens, autoregressively.

A post-norm transformer over [text ; tokens]: text sees all text, tokens see all text and the tokens before them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub.nn.halves import half_linear
from hub.nn.layout import laid_out
from hub_gpt_sovits.checkpoint import S1File
from hub_gpt_sovits.model.blank import Table, filled

EPS = 1e-5


class Attention(nn.Module):
    """Weights of one self-attention, named as torch's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj: nn.Module = nn.Linear(width, width)
        self.join: nn.Module | None = None

    def joined(self, x: Tensor) -> Tensor:
        """(B, T, C) -> query, key and value side by side, (B, T, 3C)."""
        return F.linear(x, self.in_proj_weight, self.in_proj_bias) if self.join is None else self.join(x)


class Layer(nn.Module):
    """x = LN1(x + attention(x)); x = LN2(x + W2 relu(W1 x))."""

    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.self_attn = Attention(width)
        self.linear1: nn.Module = nn.Linear(width, inner)
        self.linear2: nn.Module = nn.Linear(inner, width)
        self.norm1 = nn.LayerNorm(width, eps=EPS)
        self.norm2 = nn.LayerNorm(width, eps=EPS)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, T, C) -> query, key, value, each (B, H, T, D)."""
        joined = self.self_attn.joined(x)
        if x.shape[1] == 1:
            query, key, value = joined.view(len(x), 3, self.heads, 1, -1).unbind(1)
        else:
            query, key, value = joined.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return query, key, value

    def finish(self, x: Tensor, attended: Tensor, drop: float = 0.0) -> Tensor:
        """The rest of the layer, from the result of the attention (B, H, T, D)."""
        # in place: besides reading weights, a step on a CPU spends its time on fetching memory for small results
        made = self._dropped(self.self_attn.out_proj(attended.transpose(1, 2).flatten(2)), drop)
        x = self.norm1(made.add_(x))
        made = self._dropped(self.linear2(self._dropped(self.linear1(x).relu_(), drop)), drop)
        return self.norm2(made.add_(x))

    def _dropped(self, x: Tensor, drop: float) -> Tensor:
        return F.dropout(x, drop) if drop and self.training else x


class _Embedding(nn.Module):
    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.word_embeddings = Table(count, width)


class _Position(nn.Module):
    """Interleaved sines and cosines (base 10000), scaled by one learnt number."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.alpha = nn.Parameter(torch.ones(1))

    def forward(self, positions: Tensor) -> Tensor:
        """(...,) -> (..., C)."""
        rates = torch.exp(
            torch.arange(0, self.width, 2, device=positions.device).float() * -(math.log(10000.0) / self.width)
        )
        angles = positions.float().unsqueeze(-1) * rates
        table = torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)
        return self.alpha * table.to(self.alpha.dtype)


class SemanticModel(nn.Module):
    """The network; names as in the files, `model.` removed. `hub_gpt_sovits.decoding` decodes with it."""

    def __init__(self, file: S1File) -> None:
        super().__init__()
        config, weights = file.config["model"], file.weights
        symbols, width = weights["ar_text_embedding.word_embeddings.weight"].shape
        vocabulary = weights["ar_predict_layer.weight"].shape[0]
        inner = weights["h.layers.0.linear1.weight"].shape[0]
        depth = len({name.split(".")[2] for name in weights if name.startswith("h.layers.")})
        self.heads, self.width, self.end, self.symbols = int(config["head"]), width, int(config["EOS"]), symbols
        self.max_seconds = float(file.config.get("data", {}).get("max_sec", 54))
        self.bert_width = weights["bert_proj.weight"].shape[1]
        self.bert_proj = nn.Linear(self.bert_width, width)
        self.ar_text_embedding = _Embedding(symbols, width)
        self.ar_text_position = _Position(width)
        self.ar_audio_embedding = _Embedding(vocabulary, width)
        self.ar_audio_position = _Position(width)
        self.h = nn.ModuleDict({"layers": nn.ModuleList(Layer(width, inner, self.heads) for _ in range(depth))})
        self.ar_predict_layer: nn.Module = nn.Linear(width, vocabulary, bias=False)

    @property
    def layers(self) -> Sequence[Layer]:
        """The transformer's layers."""
        return cast(Sequence[Layer], self.h["layers"])

    def embed_text(self, phones: Tensor, bert: Tensor) -> Tensor:
        """Phones (B, N), features (B, D, N) -> (B, N, C)."""
        x = self.ar_text_embedding.word_embeddings(phones) + self.bert_proj(bert.transpose(1, 2))
        return x + self.ar_text_position(torch.arange(phones.shape[1], device=phones.device))

    def embed_tokens(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Tokens (B, P) at `positions`, which broadcast to them -> (B, P, C)."""
        return self.ar_audio_embedding.word_embeddings(tokens) + self.ar_audio_position(positions)

    def forward(self, x: Tensor, mask: Tensor, drop: float = 0.0) -> Tensor:
        """Embedded sequence (B, T, C), mask (B or 1, 1, T, T), True where a key is seen -> logits (B, T, V)."""
        for layer in self.layers:
            query, key, value = layer.project(x)
            attended = F.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, dropout_p=drop if self.training else 0.0
            )
            x = layer.finish(x, attended, drop)
        return self.ar_predict_layer(x)

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return self.ar_text_position.alpha.device

    @property
    def dtype(self) -> torch.dtype:
        """The type that it computes in."""
        return self.ar_text_position.alpha.dtype

    def lay_out(self) -> SemanticModel:
        """Lay out the weights as the device reads them fastest when it decodes one token at a time; return the model.

        On a CPU they stay in half precision, as in the files, and are no longer parameters.
        """
        for layer in self.layers:
            attention = layer.self_attn
            attention.join = half_linear(attention.in_proj_weight, attention.in_proj_bias)
            if attention.join is None:
                attention.in_proj_weight.data = laid_out(attention.in_proj_weight.data)
            else:
                del attention.in_proj_weight, attention.in_proj_bias
            attention.out_proj = _for_reading(attention.out_proj)
            layer.linear1, layer.linear2 = _for_reading(layer.linear1), _for_reading(layer.linear2)
        self.ar_predict_layer = _for_reading(self.ar_predict_layer)
        return self

    def mute_scores(self, token: int) -> Tensor:
        """The likeness of each token to `token`, a pause: cosine similarity of embeddings, (vocabulary,).

        -1 for all if the vocabulary lacks the token.
        """
        table = self.ar_audio_embedding.word_embeddings.weight.float()
        if token >= len(table):
            return table.new_full((len(table),), -1.0)
        return F.cosine_similarity(table[token][None], table, dim=-1)


def _for_reading(layer: nn.Module) -> nn.Module:
    if not isinstance(layer, nn.Linear):
        return layer
    halved = half_linear(layer.weight, layer.bias)
    if halved is None:
        layer.weight.data = laid_out(layer.weight.data)
    return halved or layer


def prompt_mask(text: int, tokens: int, device: torch.device | str | None = None) -> Tensor:
    """(T, T) for [text ; tokens], True where a key (column) is seen."""
    mask = torch.ones(text + tokens, text + tokens, dtype=torch.bool, device=device).tril()
    mask[:text, :text] = True
    return mask


def build_semantic(file: S1File) -> SemanticModel:
    """The network of an S1 file, in eval mode. Raises CheckpointError."""
    return filled(lambda: SemanticModel(file), file.weights, file.name)
