"""From audio logits to the next column: draws, repetition-aware redraws, and the rules of the delay pattern.

All of it is arithmetic on tensors that reads no value back to the host, so that one step fits into a CUDA graph: the
parameters are tensors, and the random numbers of a whole reply are drawn beforehand from the request's own generator.
The functions of `hub.nn.sampling` give other numbers than boson's: here top-k is a tensor and keeps ties, the nucleus
is summed from its least probable id, and a draw inverts the cumulative distribution.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MINUS_INFINITY = -float("inf")


class SamplingParams(NamedTuple):
    """The parameters of a draw. `temperature` 0 takes the most probable id and redraws nothing.

    `top_k` 0 and `top_p` 1 cut nothing. A token that occurs `ras_repeats` times among the last `ras_window` of its
    codebook is redrawn once from the uncut distribution (repetition-aware sampling, Chen et al. 2024,
    arXiv:2406.05370); a window of 0 redraws none.
    """

    temperature: float = 0.7
    top_k: int = 50
    top_p: float = 0.95
    ras_window: int = 7
    ras_repeats: int = 2


class SamplingTensors(NamedTuple):
    """SamplingParams as tensors on the device."""

    temperature: Tensor
    greedy: Tensor
    top_k: Tensor
    top_p: Tensor
    ras_window: Tensor
    ras_repeats: Tensor

    @classmethod
    def of(cls, params: SamplingParams, device: torch.device) -> SamplingTensors:
        """The parameters as tensors on `device`."""
        greedy = params.temperature <= 0
        window = 0 if greedy else max(0, params.ras_window)

        def tensor(value: float | bool) -> Tensor:
            return torch.tensor(value, device=device)

        return cls(
            temperature=tensor(1.0 if greedy else float(params.temperature)),
            greedy=tensor(greedy),
            top_k=tensor(params.top_k if params.top_k > 0 else 1 << 30),
            top_p=tensor(float(params.top_p)),
            ras_window=tensor(window),
            ras_repeats=tensor(params.ras_repeats),
        )


class Delays(NamedTuple):
    """The state of the delay pattern, two integers of no axes: `begun` codebooks after the first have begun, and `left`
    columns remain until the end of audio, -1 while no codebook has ended."""

    begun: Tensor
    left: Tensor

    @classmethod
    def start(cls, device: torch.device) -> Delays:
        """The state right after the column of BOS."""
        return cls(torch.tensor(0, device=device), torch.tensor(-1, device=device))


class Column(NamedTuple):
    """The outcome of one step. `ended`: this column is the last of the audio. `redrawn` (K,): repeats were redrawn."""

    ids: Tensor
    delays: Delays
    ended: Tensor
    redrawn: Tensor


def warp(logits: Tensor, params: SamplingTensors) -> Tensor:
    """Probabilities after temperature, top-k and top-p, in this order, as transformers' warpers cut. (N, V) -> same.

    Scores equal to the k-th all stay. top-p keeps the fewest whose mass reaches it, and always the best.
    """
    scores = logits.float() / params.temperature
    ordered, ids = scores.sort(dim=-1, descending=True, stable=True)
    last = (params.top_k.clamp(max=scores.shape[-1]) - 1).expand(scores.shape[0], 1)
    ordered = ordered.masked_fill(ordered < ordered.gather(-1, last), MINUS_INFINITY)
    probable = ordered.softmax(-1)
    mass_from_here = probable.flip(-1).cumsum(-1).flip(-1)  # summed from the least probable, as the warper does
    keep = mass_from_here > 1 - params.top_p
    keep[:, 0] = True
    ordered = ordered.masked_fill(~keep, MINUS_INFINITY)
    return torch.empty_like(scores).scatter_(-1, ids, ordered.softmax(-1))


def draw(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """For each row the least id whose cumulative probability exceeds `uniform` in [0, 1). (N, V), (N,) -> (N,) int64.

    The sum has the type of `uniform`, float64 wherever the device supports it.
    """
    mass = probabilities.to(uniform.dtype).cumsum(-1)
    ids = (mass <= uniform[:, None]).sum(-1)
    possible = probabilities > 0
    last = probabilities.shape[-1] - 1 - possible.flip(-1).int().argmax(-1)  # rounding may leave the mass below 1
    return torch.minimum(ids, last)


def choose(logits: Tensor, params: SamplingTensors, uniform: Tensor) -> Tensor:
    """A token for each row: drawn, or the most probable one in greedy mode. (N, V), (N,) -> (N,)."""
    return torch.where(params.greedy, logits.argmax(-1), draw(warp(logits, params), uniform))


def next_column(
    logits: Tensor,
    history: Tensor,
    length: Tensor,
    delays: Delays,
    params: SamplingTensors,
    uniform: Tensor,
    bos: int,
    eos: int,
) -> Column:
    """Sample, redraw repeats, and apply the delay pattern.

    logits (K, V) float32; history (K, S), of which the first `length` columns are the audio so far, references
    included; uniform (2, K): for the draws and for the redraws.
    """
    ids = choose(logits, params, uniform[0])
    position = torch.arange(history.shape[1], device=history.device)
    recent = (position < length) & (position >= length - params.ras_window)
    repeats = ((history == ids[:, None]) & recent).sum(-1)
    redrawn = (repeats >= params.ras_repeats) & (params.ras_window > 0)
    ids = torch.where(redrawn, draw(logits.float().softmax(-1), uniform[1]), ids)
    ids, after, ended = delayed(ids, delays, bos, eos)
    return Column(ids, after, ended, redrawn)


def delayed(ids: Tensor, delays: Delays, bos: int, eos: int) -> tuple[Tensor, Delays, Tensor]:
    """Apply the rules of the delay pattern to sampled ids (K,). -> the ids, the new state, and the end of audio.

    Codebooks that have not begun are BOS. Once one has ended (EOS), those before it have ended too, and the others
    follow, one in each step; the column in which the last one's EOS is due is the end.
    """
    books = ids.shape[0]
    book = torch.arange(books, device=ids.device)
    beginning = delays.begun + 1 < books
    ids = torch.where(beginning & (book > delays.begun), bos, ids)
    begun = delays.begun + beginning
    ramp = delays.left >= 0
    ends = ids == eos
    first = ends.int().argmax()
    before = torch.where(ramp, books - delays.left, torch.where(ends.any(), first, 0))
    ids = torch.where(book < before, eos, ids)
    left = torch.where(ramp, delays.left - 1, torch.where(ends.any(), books - first - 1, -1))
    ended = left == 0
    ended = ended | (ramp & (left < 0))
    return ids, Delays(torch.where(ended, 0, begun), torch.where(ended, -1, left)), ended
