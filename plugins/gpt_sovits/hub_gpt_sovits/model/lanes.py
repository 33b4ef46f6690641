"""Where S1 decodes: a key-value cache with a row for each segment, and the step that reads and fills it.

On a GPU the step is a CUDA graph. Lanes keep their graphs and go back to a pool, so a graph is captured once for each
batch size and prefix length, not for each request.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hub.nn.decode import KVCache, Stepper, prefix_length, prefix_mask
from hub_gpt_sovits.model.semantic import SemanticModel, prompt_mask

SMALLEST = 256
"""Cache positions that the first graph reads."""


class Lanes:
    """A cache of `rows` rows and `length` positions, used by one batch at a time.

    Rows share positions: shorter prompts stand further right, so that the newest tokens of all rows lie in one
    column; what is left of them is hidden by `seen`.
    """

    def __init__(self, model: SemanticModel, rows: int, length: int) -> None:
        self.model, self.rows, self.length, self.device = model, rows, length, model.device
        self.cache = KVCache(
            layers=len(model.layers),
            groups=model.heads,
            length=length,
            head_dim=model.width // model.heads,
            batch=rows,
            dtype=model.dtype,
            device=model.device,
        )
        self.seen = torch.ones(rows, length, dtype=torch.bool, device=model.device)
        self.padded = False
        self._stepper = Stepper(self._graph_step, model.device)

    def clear(self) -> None:
        """Nothing is hidden any more. Old keys and values stay, beyond the filled part, where nobody looks."""
        self.seen.fill_(True)
        self.padded = False

    def prefill(self, lane: int, text: Tensor, tokens: Tensor, end: int) -> Tensor:
        """Run one row's embedded text (1, N, C) and tokens (1, P, C) so that they end at `end` -> logits (1, V)."""
        x = torch.cat([text, tokens], 1)
        mask = prompt_mask(text.shape[1], tokens.shape[1], x.device)
        begin = end - x.shape[1]
        last = len(self.model.layers) - 1
        for number, layer in enumerate(self.model.layers):
            query, key, value = layer.project(x)
            self.cache.keys[number, lane, :, begin:end] = key[0]
            self.cache.values[number, lane, :, begin:end] = value[0]
            if number == last:  # of the last layer only the newest position is read
                query, x, mask = query[:, :, -1:], x[:, -1:], mask[-1:]
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
            x = layer.finish(x, attended)
        if begin:
            self.seen[lane, :begin] = False
            self.padded = True
        return self.model.ar_predict_layer(x[:, -1])

    def step(self, tokens: Tensor, position: int, filled: int) -> Tensor:
        """Newest tokens (B,) at audio position `position` and cache position `filled` -> logits (B, V)."""
        if self.device.type != "cuda":
            return self._host_step(tokens, position, filled)
        given = F.pad(tokens, (0, self.rows - len(tokens)))
        places = torch.tensor([position, filled], device=self.device)
        prefix = prefix_length(filled + 1, self.length, SMALLEST)
        return self._stepper(prefix, given, places)[: len(tokens)]

    def _host_step(self, tokens: Tensor, position: int, filled: int) -> Tensor:
        x = self.model.embed_tokens(tokens[:, None], torch.tensor([position], device=tokens.device))  # (B, 1, C)
        mask = self.seen[:, None, None, : filled + 1] if self.padded else None
        for number, layer in enumerate(self.model.layers):
            query, key, value = layer.project(x)
            keys, values = self.cache.write(number, filled, key, value)
            x = layer.finish(x, F.scaled_dot_product_attention(query, keys, values, attn_mask=mask))
        return self.model.ar_predict_layer(x[:, -1])

    def _graph_step(self, prefix: int, tokens: Tensor, places: Tensor) -> Tensor:
        """The same, reading the first `prefix` positions whatever is filled; `places` (2,) are the two positions."""
        position, filled = places[:1], places[1:]
        x = self.model.embed_tokens(tokens[:, None], position)
        mask = prefix_mask(filled, prefix)[None, None] & self.seen[:, None, None, :prefix]
        for number, layer in enumerate(self.model.layers):
            query, key, value = layer.project(x)
            keys, values = self.cache.write_at(number, filled, key, value, prefix)
            x = layer.finish(x, F.scaled_dot_product_attention(query, keys, values, attn_mask=mask))
        return self.model.ar_predict_layer(x[:, -1])

    def adopt(self, other: Lanes, rows: Sequence[int], filled: int) -> None:
        """Take over `rows` of other lanes, as far as they are filled."""
        kept = torch.tensor(list(rows), device=self.device)
        self.cache.keys[:, : len(rows), :, :filled] = other.cache.keys[:, kept, :, :filled]
        self.cache.values[:, : len(rows), :, :filled] = other.cache.values[:, kept, :, :filled]
        self.seen[: len(rows)] = other.seen[kept, : self.length]
        self.padded = other.padded


class LanePool:
    """Lanes of one model that wait for their next batch. Only a GPU keeps them: elsewhere there is no graph to keep."""

    def __init__(self, model: SemanticModel) -> None:
        self._model = model
        self._free: list[Lanes] = []
        self._lock = threading.Lock()
        self._keeps = model.device.type == "cuda"

    def take(self, rows: int, length: int) -> Lanes:
        """Lanes with room for `rows` rows of `length` positions."""
        if not self._keeps:
            return Lanes(self._model, rows, length)
        wanted, room = 1 << (rows - 1).bit_length(), prefix_length(length, 1 << 30, SMALLEST)
        with self._lock:
            for number, lanes in enumerate(self._free):
                if lanes.rows == wanted and lanes.length == room:
                    del self._free[number]
                    lanes.clear()
                    return lanes
        return Lanes(self._model, wanted, room)

    def give_back(self, lanes: Lanes) -> None:
        """The batch is done with them."""
        if self._keeps:
            with self._lock:
                self._free.append(lanes)
