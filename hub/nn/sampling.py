"""From logits to a token: penalties, cuts of the distribution, and draws that an explicit generator makes.

Each function does one step, over the last axis, with any axes before it, without reading a value back to the host. A
family composes them in its own order, because the order matters: fish cuts the nucleus before the temperature,
transformers' warpers after it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hub.nn.precision import running_sum

MINUS_INFINITY = -float("inf")


def penalize(logits: Tensor, previous: Tensor, penalty: float | Tensor) -> Tensor:
    """Repetition penalty (Keskar et al. 2019): the score of each id in `previous` is divided by `penalty` if positive
    and multiplied by it if negative; only once, even for an id that occurs several times.

    logits (..., V), previous (..., N) of ids -> (..., V).
    """
    ids = previous.long()
    score = logits.gather(-1, ids)
    return logits.scatter(-1, ids, torch.where(score < 0, score * penalty, score / penalty))


def warm(logits: Tensor, temperature: float | Tensor, least: float = 1e-5) -> Tensor:
    """logits / max(temperature, least)."""
    if isinstance(temperature, Tensor):
        return logits / temperature.clamp(min=least)
    return logits / max(temperature, least)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Set every score below the k-th greatest to -inf; all scores equal to it stay. Raises ValueError for k < 1."""
    if k < 1:
        raise ValueError("top_k must be at least 1")
    if k >= logits.shape[-1]:
        return logits
    least = logits.topk(k, -1).values[..., -1:]
    return logits.masked_fill(logits < least, MINUS_INFINITY)


def keep_nucleus(logits: Tensor, top_p: float | Tensor, *, crossing: bool, top_k: int | Tensor | None = None) -> Tensor:
    """Keep the most probable ids whose mass reaches `top_p`, and set the others to -inf. The best id always stays.

    `crossing` keeps the id whose probability takes the sum over `top_p`. With True the mass is at least top_p (Holtzman
    et al. 2019, transformers); with False at most that, as in Fish Speech and GPT-SoVITS. `top_k` keeps at most that
    many ids of the same order, ties by lower id.
    """
    ordered, ids = logits.sort(stable=True, dim=-1, descending=True)
    probable = ordered.softmax(-1)
    mass = running_sum(probable)
    drop = (mass - probable >= top_p) if crossing else (mass > top_p)
    if top_k is not None:
        drop = drop | (torch.arange(logits.shape[-1], device=logits.device) >= top_k)
    drop[..., :1] = False  # not `0`: on one axis torch would copy the value from the host, which no graph may do
    return logits.masked_fill(torch.zeros_like(drop).scatter(-1, ids, drop), MINUS_INFINITY)


def exponential_noise(
    shape: Sequence[int], generators: torch.Generator | Sequence[torch.Generator], *, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Exp(1) draws for `draw`, on the generators' device.

    One generator fills the whole shape; a sequence of them fills one row each (`shape[0]` rows), so that a request
    draws the same numbers whatever else is in its batch.
    """
    if isinstance(generators, torch.Generator):
        noise = torch.empty(tuple(shape), dtype=dtype, device=generators.device)
        return noise.exponential_(1.0, generator=generators)
    if len(generators) != shape[0]:
        raise ValueError(f"{shape[0]} rows, {len(generators)} generators")
    noise = torch.empty(tuple(shape), dtype=dtype, device=generators[0].device)
    for row, generator in zip(noise, generators, strict=True):
        row.exponential_(1.0, generator=generator)
    return noise


def draw(probabilities: Tensor, noise: Tensor) -> Tensor:
    """An id from each distribution: argmax(p / e) with e ~ Exp(1), which is one draw from p. (..., V) -> (...) int64.

    It does not synchronise with the host, so a CUDA graph can contain it; draw the noise outside.
    """
    return (probabilities / noise).argmax(-1)


def request_generator(seed: int | None, device: str | torch.device = "cpu") -> torch.Generator:
    """A generator of one request's own: from its seed, or from the system's entropy if it names none."""
    generator = torch.Generator(device=device)
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator
