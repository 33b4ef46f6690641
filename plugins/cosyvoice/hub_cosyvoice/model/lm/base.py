"""The interface of the language models of all generations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hub.nn.decode import KVCache
from hub_cosyvoice.model.lm.cache_view import CacheView


class SpeechLM(nn.Module):
    """A decoder that continues a sequence of embeddings with speech tokens.

    `speech_tokens` is the number of ids that are speech. The ids from there on are special: they end speech, and `fill`
    asks for more text (None in the first generation, which takes no text in pieces). `layers`, `groups` and `head_dim`
    are the sizes of a cache.
    """

    speech_tokens: int
    fill: int | None
    layers: int
    groups: int
    head_dim: int

    @abstractmethod
    def sequence(self, text: Sequence[int], speech: Sequence[int], embedding: Tensor | None) -> Tensor:
        """The input before the first step, (1, L, H): start, speaker, `text` with the transcript, task id, `speech`.

        `embedding` (192,) goes in if the model takes a speaker.
        """

    @abstractmethod
    def embed_speech(self, ids: Tensor) -> Tensor:
        """(N,) ids -> (1, N, H)."""

    @abstractmethod
    def forward(self, x: Tensor, cache: CacheView) -> Tensor:
        """Run (1, T, H), keep it in `cache`, and return the logits of the last position, (V,) float32."""

    def reserve(self, positions: int) -> None:
        """Make the tables that depend on the number of positions. Call it outside of steps."""

    def cache(self, length: int) -> KVCache:
        """A cache of `length` positions."""
        weight = next(self.parameters())
        return KVCache(
            layers=self.layers,
            groups=self.groups,
            length=length,
            head_dim=self.head_dim,
            dtype=weight.dtype,
            device=weight.device,
        )

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device


def ids_on(ids: Sequence[int], device: torch.device) -> Tensor:
    """(N,) int64."""
    return torch.tensor(list(ids), dtype=torch.long, device=device)


def blank_embedding(rows: int, width: int) -> nn.Embedding:
    """An embedding for a file to fill. To initialise one on the meta device, torch would import its compiler first."""
    return nn.Embedding.from_pretrained(torch.empty(rows, width), freeze=False)
