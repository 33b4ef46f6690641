"""Session: everything on the device that belongs to one reply, and the pool that lends sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hub.nn.decode import Stepper, prefix_lengths
from hub.nn.loans import Loans, affordable
from hub_higgs_audio.model.language import Cache, LanguageModel
from hub_higgs_audio.model.sampling import Delays, SamplingParams, SamplingTensors, next_column

SHORTEST = 1024
"""The positions of the shortest session that is kept."""


class Session:
    """The cache, the history of columns, the sampling parameters and the graphs of one reply at a time.

    `remembered` columns of `history` (K, length) are filled. The host reads columns `lag` steps late.
    """

    def __init__(self, model: LanguageModel, length: int, *, compiled: bool = False) -> None:
        device = model.device
        self.cache = model.cache(length)
        self.history = torch.zeros(model.sizes.codebooks, length, dtype=torch.long, device=device)
        self.remembered = 0
        self.params = SamplingTensors.of(SamplingParams(), device)
        self.uniform_dtype = torch.float32 if device.type == "mps" else torch.float64
        self.lag = 1 if device.type == "cuda" else 0
        step: Callable[..., tuple[Tensor, ...]] = make_step(model, self.cache, self.history, self.params)
        self.step = Stepper(torch.compile(step, dynamic=False) if compiled else step, device)

    def clean(self) -> None:
        """Leave no keys and values of the reply before."""
        self.cache.clear()

    @torch.inference_mode()
    def capture(self) -> None:
        """Capture the graphs of all prefixes, so that no reply waits for one."""
        books, device = self.history.shape[0], self.history.device
        column = torch.zeros(books, 1, dtype=torch.long, device=device)
        first = torch.zeros(1, dtype=torch.long, device=device)
        uniform = torch.zeros(2, books, dtype=self.uniform_dtype, device=device)
        for prefix in prefix_lengths(self.cache.length):
            self.step.prepare(prefix, column, first + (prefix - 1), first, *Delays.start(device), uniform)

    def begin(self, params: SamplingParams) -> None:
        """Forget the last reply, and draw with `params`."""
        self.remembered = 0
        for held, value in zip(self.params, SamplingTensors.of(params, self.history.device), strict=True):
            held.copy_(value)  # in place: graphs read the tensors that they were captured with

    def remember(self, audios: Sequence[Tensor]) -> None:
        """Add columns, (K, F) each, that are in the context already. If there is not enough room, keep the last."""
        for columns in audios:
            room = self.history.shape[1] - self.remembered
            kept = columns[:, -room:]
            self.history[:, self.remembered : self.remembered + kept.shape[1]] = kept.to(self.history.device)
            self.remembered += kept.shape[1]


def make_step(
    model: LanguageModel, cache: Cache, history: Tensor, params: SamplingTensors
) -> Callable[..., tuple[Tensor, ...]]:
    """One step of a session as a function of tensors, for a `Stepper`. Running it twice does the same as once."""

    def step(
        prefix: int, column: Tensor, position: Tensor, length: Tensor, begun: Tensor, left: Tensor, uniform: Tensor
    ) -> tuple[Tensor, ...]:
        """The inputs of the next step, and (K + 1,) for the host: the ids, and whether the audio ends."""
        hidden = model.step(prefix, column, position, cache)
        found = next_column(
            model.audio_logits(hidden)[0],
            history,
            length,
            Delays(begun, left),
            params,
            uniform,
            model.sizes.bos,
            model.sizes.eos,
        )
        ids = found.ids[:, None]
        history.index_copy_(1, length, ids)
        for_host = torch.cat([found.ids, found.ended.reshape(1).to(found.ids.dtype)])
        return ids, position + 1, length + 1, found.delays.begun, found.delays.left, for_host

    return step


def make_sessions(
    model: LanguageModel, *, keep: int, positions: int = SHORTEST, compiled: bool = False
) -> Loans[Session]:
    """The pool. On a GPU `keep` sessions stay, and their steps are `compiled`.

    They are made at once, with all their graphs, unless they are compiled. They have `positions` positions, or as many
    as a quarter of the free memory holds. Elsewhere a session serves one request, and compiling its step would take
    longer than all its steps.
    """
    on_gpu = model.device.type == "cuda"
    made = Loans(
        lambda length: Session(model, length, compiled=compiled and on_gpu),
        size_of=lambda session: session.cache.length,
        device=model.device,
        keep=keep,
        rounded=lambda length: max(SHORTEST, 1 << (length - 1).bit_length()),
        made_ready=Session.clean if on_gpu else lambda session: None,
    )
    if made.keeps and not compiled:  # each compiled graph takes minutes: those wait until they are needed
        length = affordable(positions, SHORTEST, each=model.bytes_of_position, count=keep, device=model.device)
        made.fill(length, Session.capture)
    return made
