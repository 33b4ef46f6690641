"""The choice of the next speech token: repetition-aware sampling (VALL-E 2, arXiv 2406.05370, section 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from hub.nn.sampling import MINUS_INFINITY, draw, exponential_noise, penalize, warm
from hub_cosyvoice.config import Node


class Sampler(Protocol):
    """Chooses a token from log-probabilities."""

    def __call__(self, logp: Tensor, drawn: Sequence[int]) -> int:
        """Choose an id by `logp` (V,) float32; `drawn` are the ids so far, without those of the prompt."""
        ...


@dataclass(frozen=True)
class RasParameters:
    """The parameters of repetition-aware sampling.

    `top_p` and `top_k` cut the first draw. If the last `window` ids have the drawn id at least `window * share` times,
    another one is drawn from all others. Before that, `temperature` and `penalty` change the distribution, unless 1.
    """

    top_p: float = 0.8
    top_k: int = 25
    window: int = 10
    share: float = 0.1
    temperature: float = 1.0
    penalty: float = 1.0

    @classmethod
    def of(cls, node: Node | None) -> RasParameters:
        """The parameters in the yaml's `sampling`."""
        if node is None:
            return cls()
        return cls(
            top_p=float(node.get("top_p", 0.8)),
            top_k=int(node.get("top_k", 25)),
            window=int(node.get("win_size", 10)),
            share=float(node.get("tau_r", 0.1)),
        )


def ras(
    logp: Tensor, drawn: Sequence[int], parameters: RasParameters, nucleus: Tensor, anywhere: Callable[[], Tensor]
) -> tuple[int, bool]:
    """One draw -> the id, and True if it took a second draw.

    logp (V,); `nucleus` are Exp(1) draws for the ids that stay, most probable first, (top_k,) or more; `anywhere` makes
    (V,) of them, for a second draw only.
    """
    count = min(parameters.top_k or len(logp), len(logp))
    ordered, ids = _best(logp.softmax(-1), count)
    mass_before = torch.cat((ordered.new_zeros(1), ordered.cumsum(-1)[:-1]))
    kept = mass_before < parameters.top_p
    kept[0] = True
    token = int(ids[draw(ordered.masked_fill(~kept, 0.0), nucleus[:count])])
    if list(drawn[-parameters.window :]).count(token) < parameters.window * parameters.share:
        return token, False
    others = logp.clone()
    others[token] = MINUS_INFINITY
    return int(draw(others.softmax(-1), anywhere())), True


def _best(probabilities: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` greatest of (V,) and their ids, ties by lower id.

    The CPU sorts only the candidates among them, which takes a tenth of the time.
    """
    if probabilities.device.type == "cpu" and count < len(probabilities):
        least = probabilities.topk(count).values[-1]
        candidates = (probabilities >= least).nonzero()[:, 0]
        ordered, order = probabilities[candidates].sort(descending=True, stable=True)
        return ordered[:count], candidates[order[:count]]
    ordered, ids = probabilities.sort(descending=True, stable=True)
    return ordered[:count], ids[:count]


class RasSampler:
    """Repetition-aware sampling with the request's own generator, which is on the device of the logits."""

    def __init__(self, parameters: RasParameters, generator: torch.Generator) -> None:
        self._parameters, self._generator = parameters, generator

    def __call__(self, logp: Tensor, drawn: Sequence[int]) -> int:
        """Draw an id."""
        parameters = self._parameters
        if parameters.penalty != 1.0 and drawn:
            logp = penalize(logp, torch.tensor(sorted(set(drawn)), device=logp.device), parameters.penalty)
        if parameters.temperature == 0.0:
            return int(logp.argmax(-1))
        if parameters.temperature != 1.0:
            logp = warm(logp, parameters.temperature).log_softmax(-1)
        size = len(logp)
        nucleus = exponential_noise((min(parameters.top_k or size, size),), self._generator)
        return ras(logp, drawn, parameters, nucleus, lambda: exponential_noise((size,), self._generator))[0]


def greedy(logp: Tensor, drawn: Sequence[int]) -> int:
    """The most probable id, always."""
    return int(logp.argmax(-1))
