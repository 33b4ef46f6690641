"""Decoding of S1: prefill, then a token a step for all segments of a batch, and how each token is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from hub.nn.sampling import draw, exponential_noise, keep_nucleus, keep_top_k, penalize, warm
from hub_gpt_sovits.model.lanes import LanePool, Lanes
from hub_gpt_sovits.model.semantic import SemanticModel

LIMIT = 1500
"""Steps at most."""

SURE = 11
"""In that many first steps the end token cannot be chosen."""

STOP_RATE = 50
"""Tokens a second that the early stop counts with; there are 25, so it comes late."""


@dataclass(frozen=True)
class Choice:
    """How tokens are chosen; the defaults are the family's."""

    top_k: int = 15
    top_p: float = 1.0
    temperature: float = 1.0
    repetition_penalty: float = 1.35


@dataclass(frozen=True)
class Row:
    """One segment: phones (N,) and features (D, N) of prompt and text, joined."""

    phones: Tensor
    bert: Tensor


@dataclass
class Spoken:
    """Tokens of one segment: `new`, without the end token; `ended` says that the model ended it."""

    new: list[int] = field(default_factory=list)
    ended: bool = False
    done: bool = False


class Draws(Protocol):
    """Exp(1) noise for the choice of tokens."""

    def __call__(self, rows: int, choices: int) -> Tensor:
        """(rows, choices)."""
        ...


class GeneratorDraws:
    """Draws of a request's own generator."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def __call__(self, rows: int, choices: int) -> Tensor:
        return exponential_noise((rows, choices), self.generator)


def probabilities(logits: Tensor, previous: Tensor, choice: Choice) -> tuple[Tensor, Tensor]:
    """Logits (B, V) and all earlier tokens (B, N) -> penalised logits and probabilities, (B, V) each.

    Order: repetition penalty, nucleus on the untempered logits, temperature, top-k. `top_k` below 1 keeps all.
    """
    penalised = penalize(logits, previous, choice.repetition_penalty) if previous.shape[-1] else logits
    kept = keep_nucleus(penalised, choice.top_p, crossing=False) if choice.top_p < 1 else penalised
    kept = warm(kept, choice.temperature)
    if choice.top_k >= 1:
        kept = keep_top_k(kept, choice.top_k)
    return penalised, kept.softmax(-1)


def decode(
    model: SemanticModel,
    pool: LanePool,
    rows: Sequence[Row],
    prompt: Tensor,
    choice: Choice,
    draws: Draws,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[list[Spoken]]:
    """Decode all rows after `prompt` (P,), empty for none; yields the state of all of them after each step.

    Ends when every row has ended, at the early stop or the step limit, or once `stop` says so. A row ends when its
    best token by penalised logits is the end token, or the drawn one is; that draw is dropped.
    """
    longest = max(len(row.phones) for row in rows) + len(prompt)
    budget = min(LIMIT, int(STOP_RATE * model.max_seconds) + 1)
    lanes = pool.take(len(rows), longest + budget)
    try:
        with torch.inference_mode():
            logits = _prefill(model, lanes, rows, prompt, longest)
        spoken = [Spoken() for _ in rows]
        alive = list(range(len(rows)))  # lane -> row
        history = prompt[None].expand(len(rows), -1)
        for number in range(budget):
            if stop():
                return
            with torch.inference_mode():
                if number < SURE:
                    logits = logits[:, :-1]  # the end token is the last one
                tokens, best = _choose(logits, history, choice, draws)
                history = torch.cat([history, tokens[:, None]], 1)
                _note(spoken, alive, tokens.tolist(), best.tolist(), model.end, number + 1 == budget)
            yield spoken
            going = [lane for lane, row in enumerate(alive) if not spoken[row].done]
            if not going:
                return
            with torch.inference_mode():
                if 2 * len(going) <= len(alive):
                    fewer = pool.take(len(going), longest + budget)
                    fewer.adopt(lanes, going, longest + number)
                    pool.give_back(lanes)
                    lanes = fewer
                    history, tokens = history[going], tokens[going]
                    alive = [alive[lane] for lane in going]
                logits = lanes.step(tokens, len(prompt) + number, longest + number)
    finally:
        pool.give_back(lanes)


def _prefill(model: SemanticModel, lanes: Lanes, rows: Sequence[Row], prompt: Tensor, end: int) -> Tensor:
    """All rows, each alone, so that each gets the numbers that it would get alone -> logits (B, V)."""
    tokens = model.embed_tokens(prompt[None], torch.arange(len(prompt), device=prompt.device))
    return torch.cat(
        [
            lanes.prefill(lane, model.embed_text(row.phones[None], row.bert[None]), tokens, end)
            for lane, row in enumerate(rows)
        ]
    )


def _note(spoken: list[Spoken], alive: list[int], drawn: list[int], best: list[int], end: int, last: bool) -> None:
    """Enter a step's tokens: who has ended, and what the others have said."""
    for lane, (token, likely) in enumerate(zip(drawn, best, strict=True)):
        row = spoken[alive[lane]]
        if row.done:
            continue
        if end in (token, likely):
            row.ended = row.done = True
        else:
            row.new.append(token)
            row.done = last


def _choose(logits: Tensor, history: Tensor, choice: Choice, draws: Draws) -> tuple[Tensor, Tensor]:
    """The drawn tokens and the most likely ones, (B,) each."""
    logits = logits.float()
    if choice.top_k == 1:
        best = penalize(logits, history, choice.repetition_penalty) if history.shape[-1] else logits
        best = best.argmax(-1)
        return best, best
    penalised, probable = probabilities(logits, history, choice)
    return draw(probable, draws(*probable.shape)), penalised.argmax(-1)
