"""DualAR: a slow transformer over frames gives hidden states and main logits, a fast one the codes of each frame.

Module names are those of the checkpoints. The modules hold no state: caches come with the call. C is the number of
codebooks, V the vocabulary, K the codebook size, D the slow and F the fast width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hub.nn.attention import RMSNorm
from hub.nn.decode import KVCache
from hub.nn.layout import laid_out
from hub_fish_speech.config import DualARConfig
from hub_fish_speech.model.transformer import Attention, Block, CacheView, FeedForward, rotation_table, run


class DualAR(nn.Module):
    """The language model. Build it under `torch.device("meta")`, load its weights, then call `prepare`."""

    offsets: Tensor
    slow_rotations: Tensor
    fast_rotations: Tensor
    fast_positions: Tensor
    main_tokens: Tensor
    main_is_audio: Tensor
    main_rows: Tensor

    def __init__(self, config: DualARConfig) -> None:
        super().__init__()
        self.config = config
        slow, fast = config.slow, config.fast
        self.embeddings = nn.Embedding(config.vocab_size, slow.dim)
        self.codebook_embeddings = nn.Embedding(config.codebook_size * config.codebooks, slow.dim)
        self.layers = nn.ModuleList(Block(slow) for _ in range(slow.layers))
        self.norm = RMSNorm(slow.dim, slow.eps)
        self.output = None if config.tied else nn.Linear(slow.dim, config.vocab_size, bias=False)
        self.fast_project_in = nn.Linear(slow.dim, fast.dim) if fast.dim != slow.dim else nn.Identity()
        self.fast_embeddings = nn.Embedding(config.codebook_size, fast.dim)
        self.fast_layers = nn.ModuleList(Block(fast) for _ in range(fast.layers))
        self.fast_norm = RMSNorm(fast.dim, fast.eps)
        self.fast_output = nn.Linear(fast.dim, config.codebook_size, bias=False)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.embeddings.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights and of the caches."""
        return self.embeddings.weight.dtype

    def prepare(
        self,
        device: torch.device,
        dtype: torch.dtype,
        *,
        semantic: tuple[int, int],
        positions: int,
        fast_columns: int = 0,
        main_tokens: Tensor | None = None,
    ) -> None:
        """Move and join the loaded weights, and take over what tokenizer and variant determine.

        `semantic` are the first and last id of main tokens that stand for audio; `positions` bounds prompt and speech;
        `fast_columns` limits the codes that can be sampled (0: all), `main_tokens` (V',) the main tokens (None: all).
        """
        self.to(device=device, dtype=dtype).requires_grad_(False).eval()
        for module in self.modules():
            if isinstance(module, Attention | FeedForward):
                module.prepare()
        self._semantic = semantic
        config = self.config
        self.fast_columns = min(fast_columns or config.codebook_size, config.codebook_size)
        step = 0 if config.shared_codebook_embeddings else config.codebook_size
        if self.output is not None:
            self.output.weight = nn.Parameter(laid_out(self.output.weight), requires_grad=False)
        tokens = torch.arange(config.vocab_size) if main_tokens is None else main_tokens
        rows = self.output_matrix if main_tokens is None else laid_out(self.output_matrix[tokens.to(device)])
        constants = {
            "offsets": torch.arange(config.codebooks)[:, None] * step,
            "slow_rotations": rotation_table(config.slow, positions),
            "fast_rotations": rotation_table(config.fast, config.codebooks),
            "fast_positions": torch.arange(config.codebooks),
            "main_tokens": tokens,
            "main_is_audio": self.is_audio(tokens),
            "main_rows": rows,
        }
        for name, value in constants.items():
            self.register_buffer(name, value.to(device), persistent=False)

    def compile_layers(self) -> None:
        """Let torch.compile fuse the operations between the matrix products of the feed-forward layers.

        The first steps then take seconds longer. Attention is left as it is: its shapes change with every frame.
        """
        for module in self.modules():
            if isinstance(module, FeedForward):
                module.compile()

    def is_audio(self, tokens: Tensor) -> Tensor:
        """True for main tokens that stand for audio, in the shape of `tokens`."""
        return (tokens >= self._semantic[0]) & (tokens <= self._semantic[1])

    def first_code(self, main: Tensor) -> Tensor:
        """The code of codebook 0 that a main token stands for; the nearest one for a token that stands for none."""
        return (main - self._semantic[0]).clamp(0, self.config.codebook_size - 1)

    def embed(self, ids: Tensor) -> Tensor:
        """Columns (1 + C, T) -> (T, D).

        Codes count only where the main token stands for audio; there the whole sum is divided by sqrt(C + 1) if the
        checkpoint says so.
        """
        main, codes = ids[0], ids[1:]
        of_codes = self.codebook_embeddings(codes + self.offsets).sum(0)  # (T, D)
        x = self.embeddings(main)
        with_codes = x + of_codes
        if self.config.scales_codebook_embeddings:
            with_codes = with_codes / math.sqrt(self.config.codebooks + 1)
        return torch.where(self.is_audio(main)[:, None], with_codes, x)

    def slow(self, x: Tensor, view: CacheView, cache: KVCache) -> Tensor:
        """(T, D) -> hidden states before the final norm, (T, D)."""
        return run(self.layers, x, view, cache)

    def main_logits(self, hidden: Tensor) -> Tensor:
        """Hidden states (T, D) -> logits of `main_tokens` (T, V')."""
        return F.linear(self.norm(hidden), self.main_rows)

    @property
    def output_matrix(self) -> Tensor:
        """(V, D): a row for each token of the vocabulary."""
        return self.embeddings.weight if self.output is None else self.output.weight

    def fast_input(self, hidden: Tensor) -> Tensor:
        """Hidden states (T, D) -> what the fast transformer starts from, (T, F)."""
        return self.fast_project_in(self.norm(hidden) if self.config.fast_reads_normed else hidden)

    def fast(self, x: Tensor, first: int, cache: KVCache) -> Tensor:
        """Positions `first`.. of one frame: x (T, F) -> logits of the last of them (1, columns).

        The cache holds the positions before.
        """
        hidden = self.fast_hidden(x, first, cache)
        return F.linear(self.fast_norm(hidden[-1:]), self.fast_output.weight[: self.fast_columns])

    def fast_hidden(self, x: Tensor, first: int, cache: KVCache) -> Tensor:
        """x (T, F) -> (T, F), before the norm."""
        end = first + x.shape[0]
        view = CacheView(self.fast_positions[first:end], self.fast_rotations[first:end], end)
        return run(self.fast_layers, x, view, cache)
