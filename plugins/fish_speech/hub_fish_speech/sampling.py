"""Drawing a frame's ids, as each generation does it.

The order is the family's own: penalty, then the nucleus of the distribution before the temperature (an id that carries
the sum over top_p is itself left out), then the temperature, then the draw. The noise comes from outside, so that a
request's own generator makes it and the step can be part of a CUDA graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hub.contract import Sampling
from hub.nn.sampling import draw, keep_nucleus, penalize, warm
from hub_fish_speech.variants import Variant

WINDOW = 16
"""Frames that the repetition penalty of 1.x and S1 looks back on."""

RAS_WINDOW, RAS_TEMPERATURE, RAS_TOP_P = 10, 1.0, 0.9
"""S2's repetition-aware sampling: the number of main tokens that it looks back on, and the second draw's parameters."""

_SORTED_WHOLE = 16_384
"""The most logits that are sorted whole on the CPU."""

_CANDIDATES = (512, 16_384)
"""If there are more, the numbers of best logits that are searched for the nucleus, one after the other."""


@dataclass(frozen=True)
class Draws:
    """Parameters of a draw. `top_k` None keeps all ids. For a CUDA graph they are tensors of no dimension."""

    temperature: float | Tensor
    top_p: float | Tensor
    repetition_penalty: float | Tensor = 1.0
    top_k: int | Tensor | None = None

    @classmethod
    def of(cls, asked: Sampling, variant: Variant) -> Draws:
        """The parameters of a request; a parameter that it leaves out is that of the variant's own server."""
        penalty = asked.repetition_penalty
        return cls(
            temperature=variant.temperature if asked.temperature is None else asked.temperature,
            top_p=variant.top_p if asked.top_p is None else asked.top_p,
            repetition_penalty=variant.repetition_penalty if penalty is None else penalty,
            top_k=(variant.top_k if asked.top_k is None else asked.top_k) or None,
        )


def probabilities(logits: Tensor, draws: Draws, previous: Tensor | None = None) -> Tensor:
    """(..., V) logits -> probabilities. `previous` (..., N) are the ids that are penalised."""
    if previous is not None:
        logits = penalize(logits, previous, draws.repetition_penalty)
    kept = keep_nucleus(logits, draws.top_p, crossing=False, top_k=draws.top_k)
    return warm(kept, draws.temperature).softmax(-1)


def pick(logits: Tensor, draws: Draws, noise: Tensor, previous: Tensor | None = None) -> Tensor:
    """One id of each row: (..., V) logits and noise -> (...) int64."""
    if logits.device.type == "cpu" and logits.dim() == 1 and logits.shape[0] > _SORTED_WHOLE:
        return _pick_from_many(logits, draws, noise, previous)
    return draw(probabilities(logits, draws, previous), noise)


def pick_aware(
    logits: Tensor, draws: Draws, noise: Tensor, again: Tensor, *, ids: Tensor, recent: Tensor, audio: Tensor
) -> Tensor:
    """S2's main token: an audio token that is among the recent ones gives way to a second draw. -> () int64.

    logits, `noise` and `again` (of the second draw), `ids` (the token of each logit) and `audio` (True if that stands
    for audio) are (V,); `recent` (N,) holds tokens.
    """
    first = pick(logits, draws, noise)
    second = pick(logits, Draws(RAS_TEMPERATURE, RAS_TOP_P, top_k=draws.top_k), again)
    # `take`, because indexing with a tensor of one number brings it to the host, which no graph may do
    repeated = (recent == ids.take(first)).any() & audio.take(first)
    return ids.take(torch.where(repeated, second, first))


def _pick_from_many(logits: Tensor, draws: Draws, noise: Tensor, previous: Tensor | None) -> Tensor:
    """`pick` without sorting all of a large vocabulary: the nucleus is among the best few, unless it is very flat."""
    if previous is not None:
        logits = penalize(logits, previous, draws.repetition_penalty)
    whole = logits.logsumexp(-1)
    for count in _CANDIDATES:
        best, ids = logits.topk(count)
        drop = (best - whole).exp().cumsum(-1) > draws.top_p
        if draws.top_k is not None:
            drop |= torch.arange(count) >= draws.top_k
        if drop[-1]:  # no other id is in the nucleus
            drop[0] = False
            chosen = warm(best.masked_fill(drop, -float("inf")), draws.temperature).softmax(-1)
            return ids[draw(chosen, noise[ids])]
    return draw(probabilities(logits, draws), noise)
