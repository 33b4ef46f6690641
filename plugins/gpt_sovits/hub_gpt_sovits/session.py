"""Sessions: where S1 decodes a batch. A session holds a key-value cache with a row for each segment, and the step that
reads and fills it; `Sessions` lends them.

On a GPU the step is a CUDA graph. A session keeps its graphs while it waits for its next batch, so a graph is captured
once for each batch size and prefix length, not for each request.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from hub.nn.attention import attend
from hub.nn.decode import KVCache, Stepper, prefix_length, prefix_mask
from hub.nn.loans import Loans
from hub_gpt_sovits.model.semantic import SemanticModel, prompt_mask

SMALLEST = 256
"""Cache positions that the first graph reads."""

LONGEST = 1 << 30
"""More positions than any cache has; `prefix_length` rounds up to a power of 2 below it."""


class Session:
    """A cache of `rows` rows and `length` positions, used by one batch at a time.

    Rows share positions: shorter prompts start further right, so that the newest tokens of all rows are in one
    column; `seen` hides what is left of them.
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

    @torch.inference_mode()  # the session may have been made inside of it, and then it can only be changed inside
    def clear(self) -> None:
        """Make all positions visible. Old keys and values stay beyond the filled part, where no step reads them."""
        self.seen.fill_(True)
        self.padded = False

    def prefill(self, row: int, text: Tensor, tokens: Tensor, end: int) -> Tensor:
        """Run one row's embedded text (1, N, C) and tokens (1, P, C) so that they end at `end` -> logits (1, V)."""
        x = torch.cat([text, tokens], 1)
        mask = prompt_mask(text.shape[1], tokens.shape[1], x.device)
        begin = end - x.shape[1]
        last = len(self.model.layers) - 1
        for number, layer in enumerate(self.model.layers):
            query, key, value = layer.project(x)
            self.cache.keys[number, row, :, begin:end] = key[0]
            self.cache.values[number, row, :, begin:end] = value[0]
            if number == last:  # only the newest position of the last layer is read
                query, x, mask = query[:, :, -1:], x[:, -1:], mask[-1:]
            x = layer.finish(x, attend(query, key, value, mask=mask))
        if begin:
            self.seen[row, :begin] = False
            self.padded = True
        return self.model.ar_predict_layer(x[:, -1])

    def step(self, tokens: Tensor, position: int, filled: int) -> Tensor:
        """Newest tokens (B,) at audio position `position` and cache position `filled` -> logits (B, V)."""
        if self.device.type != "cuda":
            return self._host_step(tokens, position, filled)
        given = F.pad(tokens, (0, self.rows - len(tokens)))
        positions = torch.tensor([position, filled], device=self.device)
        prefix = prefix_length(filled + 1, self.length, SMALLEST)
        return self._stepper(prefix, given, positions)[: len(tokens)]

    def _host_step(self, tokens: Tensor, position: int, filled: int) -> Tensor:
        x = self.model.embed_tokens(tokens[:, None], torch.tensor([position], device=tokens.device))  # (B, 1, C)
        mask = self.seen[:, None, None, : filled + 1] if self.padded else None
        for number, layer in enumerate(self.model.layers):
            query, key, value = layer.project(x)
            keys, values = self.cache.write(number, filled, key, value)
            x = layer.finish(x, attend(query, keys, values, mask=mask))
        return self.model.ar_predict_layer(x[:, -1])

    def _graph_step(self, prefix: int, tokens: Tensor, positions: Tensor) -> Tensor:
        """The same over the first `prefix` positions, filled or not. `positions` (2,): audio, cache."""
        position, filled = positions[:1], positions[1:]
        x = self.model.embed_tokens(tokens[:, None], position)
        mask = prefix_mask(filled, prefix)[None, None] & self.seen[:, None, None, :prefix]
        for number, layer in enumerate(self.model.layers):
            query, key, value = layer.project(x)
            keys, values = self.cache.write_at(number, filled, key, value, prefix)
            x = layer.finish(x, attend(query, keys, values, mask=mask))
        return self.model.ar_predict_layer(x[:, -1])

    def adopt(self, other: Session, rows: Sequence[int], filled: int) -> None:
        """Take over the filled part of these `rows` of another session."""
        kept = torch.tensor(list(rows), device=self.device)
        self.cache.keys[:, : len(rows), :, :filled] = other.cache.keys[:, kept, :, :filled]
        self.cache.values[:, : len(rows), :, :filled] = other.cache.values[:, kept, :, :filled]
        length = min(self.length, other.length)
        self.seen[: len(rows), :length] = other.seen[kept, :length]
        self.padded = other.padded


class Sessions:
    """Lends the sessions of one model.

    Each number of rows has loans of its own: a session with more rows would compute more, and with other last digits.
    Where sessions are kept, numbers of rows are powers of 2, and lengths too, from SMALLEST on.
    """

    def __init__(self, model: SemanticModel, keep: int, device: torch.device | None = None) -> None:
        self._model, self._keep = model, keep
        self._device = model.device if device is None else device
        self._loans: dict[int, Loans[Session]] = {}
        self._lock = threading.Lock()

    def take(self, rows: int, length: int) -> Session:
        """A session for `rows` rows of `length` positions, until `give_back`."""
        return self._loans_for(1 << (rows - 1).bit_length() if self._device.type == "cuda" else rows).take(length)

    def give_back(self, session: Session) -> None:
        """End the loan of a session."""
        self._loans_for(session.rows).give_back(session)

    def _loans_for(self, rows: int) -> Loans[Session]:
        with self._lock:
            if rows not in self._loans:
                self._loans[rows] = Loans(
                    lambda length: Session(self._model, rows, length),
                    size_of=lambda session: session.length,
                    device=self._device,
                    keep=self._keep,
                    rounded=lambda length: prefix_length(length, LONGEST, SMALLEST),
                    made_ready=Session.clear,
                )
            return self._loans[rows]
