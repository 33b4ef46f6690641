"""Decoding of S1: prefill, then one token a step for all segments of a batch, and how each token is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from hub.nn.sampling import draw, exponential_noise, keep_nucleus, keep_top_k, penalize, warm
from hub_gpt_sovits.model.semantic import SemanticModel
from hub_gpt_sovits.session import Session, Sessions

LIMIT = 1500
"""The most steps."""

SURE = 11
"""The number of first steps in which the end token cannot be chosen."""

STOP_RATE = 50
"""Tokens a second, for the early stop. The models write 25, so it comes late, as in the family's code."""


@dataclass(frozen=True)
class Choice:
    """The rules for choosing tokens; the defaults are the family's."""

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
class RowState:
    """The tokens of one segment so far: `new`, without the end token. `ended`: the model itself ended it."""

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
    sessions: Sessions,
    rows: Sequence[Row],
    prompt: Tensor,
    choice: Choice,
    draws: Draws,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[list[RowState]]:
    """Decode all rows after `prompt` (P,), which may be empty; yields the state of all rows after each step.

    Ends when every row has ended, at the early stop or the step limit, or once `stop` returns True. A row ends when
    its best token by penalised logits is the end token, or the drawn one is; that draw is dropped.
    """
    longest = max(len(row.phones) for row in rows) + len(prompt)
    budget = min(LIMIT, int(STOP_RATE * model.max_seconds) + 1)
    session = sessions.take(len(rows), longest + budget)
    try:
        with torch.inference_mode():
            logits = _prefill(model, session, rows, prompt, longest)
        states = [RowState() for _ in rows]
        alive = list(range(len(rows)))  # row of the session -> number in `rows`
        history = prompt[None].expand(len(rows), -1)
        for number in range(budget):
            if stop():
                return
            with torch.inference_mode():
                if number < SURE:
                    logits = logits[:, :-1]  # the end token is the last one
                tokens, best = _choose(logits, history, choice, draws)
                history = torch.cat([history, tokens[:, None]], 1)
                _note(states, alive, tokens.tolist(), best.tolist(), model.end, number + 1 == budget)
            yield states
            going = [row for row, segment in enumerate(alive) if not states[segment].done]
            if not going:
                return
            with torch.inference_mode():
                if 2 * len(going) <= len(alive):
                    session = _smaller(sessions, session, going, longest + budget, longest + number)
                    history, tokens = history[going], tokens[going]
                    alive = [alive[row] for row in going]
                logits = session.step(tokens, len(prompt) + number, longest + number)
    finally:
        sessions.give_back(session)


def _prefill(model: SemanticModel, session: Session, rows: Sequence[Row], prompt: Tensor, end: int) -> Tensor:
    """Run the rows one by one, so that each gets the numbers that it would get alone -> logits (B, V)."""
    tokens = model.embed_tokens(prompt[None], torch.arange(len(prompt), device=prompt.device))
    return torch.cat(
        [
            session.prefill(number, model.embed_text(row.phones[None], row.bert[None]), tokens, end)
            for number, row in enumerate(rows)
        ]
    )


def _smaller(sessions: Sessions, session: Session, going: Sequence[int], length: int, filled: int) -> Session:
    """A session of fewer rows, which takes over those that go on; the larger one is given back."""
    smaller = sessions.take(len(going), length)
    smaller.adopt(session, going, filled)
    sessions.give_back(session)
    return smaller


def _note(states: list[RowState], alive: list[int], drawn: list[int], best: list[int], end: int, last: bool) -> None:
    """Record the tokens of a step: end the rows that chose the end token, and add a token to the others."""
    for segment, token, likely in zip(alive, drawn, best, strict=True):
        state = states[segment]
        if state.done:
            continue
        if end in (token, likely):
            state.ended = state.done = True
        else:
            state.new.append(token)
            state.done = last


def _choose(logits: Tensor, history: Tensor, choice: Choice, draws: Draws) -> tuple[Tensor, Tensor]:
    """The drawn tokens and the most likely ones, (B,) each."""
    logits = logits.float()
    if choice.top_k == 1:
        best = penalize(logits, history, choice.repetition_penalty) if history.shape[-1] else logits
        best = best.argmax(-1)
        return best, best
    penalised, probable = probabilities(logits, history, choice)
    return draw(probable, draws(*probable.shape)), penalised.argmax(-1)
