"""The language model: a Llama in which audio positions have feed-forward layers and norms of their own ("dual FFN").

Weights, sizes and norms are those of transformers' `HiggsAudioV2ForConditionalGeneration`. The pass through its layers
is written here, over a key/value cache of a fixed size, so that a decoding step has no branch, reads nothing back, and
can be one CUDA graph. The released model has a dual FFN in every layer. With boson's configuration audio can also take
the path of text through some layers, bypass them, or attend to audio alone first (`Adapter`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from hub.nn.attention import attend, causal_mask, rotary_table, rotate_half_split
from hub.nn.decode import KVCache, prefix_mask


class Sizes(NamedTuple):
    """The sizes that the rest of the backend needs."""

    codebooks: int
    codebook_size: int
    bos: int
    eos: int
    layers: int
    kv_heads: int
    head_dim: int
    max_positions: int


AudioPath = Literal["dual", "shared", "bypass"]
"""Audio in a layer: has a feed-forward and norms of its own, shares those of text, or bypasses the layer, in which text
then does not see it."""


class Adapter(NamedTuple):
    """The differences between audio and text in the Llama. No `paths`: dual in all layers."""

    paths: tuple[AudioPath, ...] = ()
    averaged: bool = False
    """True if a column is the mean of its codebooks' rows; otherwise it is their sum."""
    projected: bool = False
    """True if columns go through a projection."""
    attention: bool = False
    """True if in dual layers audio first attends to audio alone, before all attend to all."""

    def paths_through(self, layers: int) -> tuple[AudioPath, ...]:
        """The path of audio through each of `layers` layers."""
        usual: AudioPath = "dual"
        return self.paths or (usual,) * layers

    @property
    def masks_by_kind(self) -> bool:
        """Attention needs to know which earlier positions are audio."""
        return self.attention or "bypass" in self.paths


class Cache(KVCache):
    """Keys and values, and the positions that are audio: `audio` (length,) bool, written if an adapter needs it."""

    def __init__(self, **sizes: Any) -> None:
        super().__init__(**sizes)
        self.audio = torch.zeros(self.length, dtype=torch.bool, device=self.keys.device)


class Rows(NamedTuple):
    """The rows of a pass that are text and those that are audio: indices (N,), None if there are none.

    Without audio all rows are text, and need no indices.
    """

    text: Tensor | None
    audio: Tensor | None


TEXT_ALONE = Rows(None, None)
"""Rows of a pass without audio, and of a layer that treats audio as text."""


class _Pass(NamedTuple):
    """Shared by all layers of a pass: the rotary table of its positions (T, D/2, 2), and attention over its cache."""

    rotary: Tensor
    attention: Callable[[int, Tensor, Tensor, Tensor, bool | None], Tensor]


class LanguageModel:
    """It holds only weights, so several threads may use it at once, each with a cache of its own."""

    def __init__(self, net: Any, device: torch.device, dtype: torch.dtype, adapter: Adapter | None = None) -> None:
        self.net = net.eval().requires_grad_(False)
        self.adapter = adapter or Adapter()
        self.device = device
        self.dtype = dtype
        config = net.config
        self.sizes = Sizes(
            codebooks=config.num_codebooks,
            codebook_size=config.codebook_size - 2,
            bos=config.audio_stream_bos_id,
            eos=config.audio_stream_eos_id,
            layers=config.num_hidden_layers,
            kv_heads=config.num_key_value_heads,
            head_dim=config.head_dim or config.hidden_size // config.num_attention_heads,
            max_positions=config.max_position_embeddings,
        )
        rotary = type(net.model.rotary_emb)(config)  # the one in `net` was computed on the meta device
        self._frequencies = rotary.inv_freq.to(device, torch.float32)  # (D/2,)
        self._rotary_scale = float(rotary.attention_scaling)
        self._paths = self.adapter.paths_through(self.sizes.layers)
        self._offsets = torch.arange(config.num_codebooks, device=device) * config.codebook_size

    @property
    def writes_text(self) -> bool:
        """True if the checkpoint has a head for text. One saved for audio alone has none."""
        return self.net.text_lm_head is not None

    @property
    def bytes_of_position(self) -> int:
        """Bytes of a cache's position."""
        sizes = self.sizes
        layers = sizes.layers * (2 if self.adapter.attention else 1)
        return 2 * layers * sizes.kv_heads * sizes.head_dim * self.dtype.itemsize

    def cache(self, length: int) -> Cache:
        """Keys and values for `length` positions of one reply. Attention among audio has its own, the last layers."""
        sizes = self.sizes
        return Cache(
            layers=sizes.layers * (2 if self.adapter.attention else 1),
            groups=sizes.kv_heads,
            length=length,
            head_dim=sizes.head_dim,
            dtype=self.dtype,
            device=self.device,
        )

    def embed_text(self, ids: Tensor) -> Tensor:
        """(T,) -> (T, C)."""
        return F.embedding(ids, self.net.model.embed_tokens.weight)

    def embed_audio(self, columns: Tensor) -> Tensor:
        """Delayed columns (K, T) -> (T, C): the sum of one row of each codebook's table."""
        table = self.net.model.embed_audio_tokens.embed_audio_tokens.weight
        rows = F.embedding(columns.t() + self._offsets, table)
        together = rows.mean(1) if self.adapter.averaged else rows.sum(1)
        return self.net.audio_out_embed_projector(together) if self.adapter.projected else together

    def embed(self, ids: Tensor, columns: Tensor | None, is_audio: Tensor) -> tuple[Tensor, Rows]:
        """A stretch of a prompt: ids (T,), of which those where `is_audio` (T,), on the CPU, are `columns` (K, A).

        -> embeddings (T, C), and their rows by kind.
        """
        hidden = self.embed_text(ids)
        text_at = (~is_audio).nonzero()[:, 0].to(self.device)
        if columns is None:
            return hidden, Rows(text_at, None)
        audio_at = is_audio.nonzero()[:, 0].to(self.device)
        hidden[audio_at] = self.embed_audio(columns)
        return hidden, Rows(text_at if len(text_at) else None, audio_at)

    def run(self, hidden: Tensor, rows: Rows, cache: Cache, start: int) -> Tensor:
        """A pass over the positions from `start` on; `cache` has all before them. hidden (T, C) -> (T, C), normed."""
        end = start + hidden.shape[0]
        positions = torch.arange(start, end, device=self.device)
        if self.adapter.masks_by_kind:
            cache.audio[start:end] = False
            if rows.audio is not None:
                cache.audio[start + rows.audio] = True

        def attention(layer: int, query: Tensor, key: Tensor, value: Tensor, audio: bool | None) -> Tensor:
            keys, values = cache.write(layer, start, key, value)
            if audio is None:
                return attend(query, keys, values, causal=True)
            mask = causal_mask(end - start, end, device=self.device) & (cache.audio[:end] == audio)
            return attend(query, keys, values, mask=mask)

        return self._layers(hidden, rows, positions, attention)

    def step(self, prefix: int, column: Tensor, position: Tensor, cache: Cache) -> Tensor:
        """One audio position (1,), below `prefix`, that only the device knows. column (K, 1) -> (1, C), normed.

        Attends over `prefix` positions under a mask, so that each step runs the same kernels: a CUDA graph.
        """
        mask = prefix_mask(position, prefix)
        if self.adapter.masks_by_kind:
            cache.audio.index_fill_(0, position, True)

        def attention(layer: int, query: Tensor, key: Tensor, value: Tensor, audio: bool | None) -> Tensor:
            keys, values = cache.write_at(layer, position, key, value, prefix)
            seen = mask if audio is None else mask & (cache.audio[:prefix] == audio)
            return attend(query, keys, values, mask=seen)

        return self._layers(self.embed_audio(column), Rows(None, position), position, attention)

    def audio_logits(self, hidden: Tensor) -> Tensor:
        """(T, C) -> (T, K, codebook_size + 2) float32: column f predicts column f + 1."""
        logits = F.linear(hidden, self.net.audio_lm_head.weight)
        return logits.view(hidden.shape[0], self.sizes.codebooks, -1).float()

    def text_logits(self, hidden: Tensor) -> Tensor:
        """(T, C) -> (T, vocabulary) float32."""
        return F.linear(hidden, self.net.text_lm_head.weight).float()

    def _layers(self, hidden: Tensor, rows: Rows, positions: Tensor, attention: Any) -> Tensor:
        rotary = rotary_table(positions, self._frequencies) * self._rotary_scale  # (T, D/2, 2)
        shared = _Pass(rotary.to(hidden.dtype), attention)
        for number, (layer, path) in enumerate(zip(self.net.model.layers, self._paths, strict=True)):
            if path == "bypass":
                hidden = self._bypassed(layer, number, hidden, rows, shared)
                continue
            kinds = rows if path == "dual" else TEXT_ALONE
            hidden = self._attended(layer, number, hidden, kinds, shared)
            hidden = hidden + _feed_forward(layer, hidden, kinds)
        return self.net.model.norm(hidden)

    def _attended(self, layer: Any, number: int, hidden: Tensor, rows: Rows, shared: _Pass) -> Tensor:
        """The first half of a layer, with the residual. (T, C) -> (T, C)."""
        if rows.audio is None:
            normed = layer.input_layernorm(hidden)
        else:
            normed = _by_kind(hidden, rows, layer.input_layernorm, layer.audio_input_layernorm)
        if self.adapter.attention and rows.audio is not None:
            among = self._attention(layer.audio_attn, self.sizes.layers + number, normed, shared, audio=True)
            where = slice(None) if rows.text is None else rows.audio
            hidden, normed = hidden.clone(), normed.clone()
            hidden[where] += among[where]
            normed[where] = layer.audio_post_audio_attn_layer_norm(hidden[where])
        return hidden + self._attention(layer.self_attn, number, normed, shared)

    def _bypassed(self, layer: Any, number: int, hidden: Tensor, rows: Rows, shared: _Pass) -> Tensor:
        """A layer that audio bypasses: it changes text alone, which sees text alone. (T, C) -> (T, C)."""
        if rows.audio is not None and rows.text is None:
            return hidden
        where = slice(None) if rows.audio is None else rows.text
        attended = hidden + self._attention(layer.self_attn, number, layer.input_layernorm(hidden), shared, audio=False)
        text = attended[where]
        hidden = hidden.clone()
        hidden[where] = text + layer.mlp(layer.post_attention_layernorm(text))
        return hidden

    def _attention(self, module: Any, number: int, x: Tensor, shared: _Pass, *, audio: bool | None = None) -> Tensor:
        """(T, C) -> (T, C). `audio` True or False: among the positions that are, or are not, audio."""
        count = x.shape[0]

        def heads(projection: Any) -> Tensor:  # (T, C) -> (1, H, T, D)
            return projection(x).view(1, count, -1, self.sizes.head_dim).transpose(1, 2)

        query, key = (rotate_half_split(heads(p), shared.rotary) for p in (module.q_proj, module.k_proj))
        attended = shared.attention(number, query, key, heads(module.v_proj), audio)  # (1, H, T, D)
        return module.o_proj(attended.transpose(1, 2).reshape(count, -1))


def _feed_forward(layer: Any, x: Tensor, rows: Rows) -> Tensor:
    """The second half of a layer, without the residual. (T, C) -> (T, C)."""

    def text(part: Tensor) -> Tensor:
        return layer.mlp(layer.post_attention_layernorm(part))

    def audio(part: Tensor) -> Tensor:
        return layer.audio_mlp(layer.audio_post_attention_layernorm(part))

    return _by_kind(x, rows, text, audio)


def _by_kind(x: Tensor, rows: Rows, text: Any, audio: Any) -> Tensor:
    """`text` of the text rows and `audio` of the audio rows. (T, C) -> (T, C)."""
    if rows.audio is None:
        return text(x)
    if rows.text is None:
        return audio(x)
    result = torch.empty_like(x)
    result[rows.text] = text(x[rows.text])
    result[rows.audio] = audio(x[rows.audio])
    return result
