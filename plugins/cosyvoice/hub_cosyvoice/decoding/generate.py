"""The decoding loop for a whole text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hub.nn.sampling import MINUS_INFINITY
from hub_cosyvoice.decoding.sampling import Sampler
from hub_cosyvoice.model.lm.base import SpeechLM
from hub_cosyvoice.session import LONGEST, Sessions

LEAST_RATIO, MOST_RATIO = 2, 20
"""The least and the most speech tokens for each text id."""


@dataclass(frozen=True)
class LMInput:
    """The prompt and the text of one sequence.

    Ids of `before` (transcript or instruction) and of the `text` itself, the prompt's `speech` tokens, and the
    `embedding` (192,) of the speaker for the generation that takes one.
    """

    text: Sequence[int]
    before: Sequence[int] = ()
    speech: Sequence[int] = ()
    embedding: Tensor | None = None


@dataclass
class Outcome:
    """The end of a loop: `capped` if a limit ended it."""

    capped: bool = False


def generate(
    lm: SpeechLM,
    sessions: Sessions,
    given: LMInput,
    sampler: Sampler,
    *,
    most: int | None = None,
    only_eos_waits: bool = False,
    outcome: Outcome | None = None,
) -> Iterator[int]:
    """Speech tokens, one by one, until an id that is not speech.

    No such id comes before `LEAST_RATIO` tokens for each id of the text. `only_eos_waits` holds back only the first of
    them, as the official code does (in the third generation that is not even the end). `most` caps the tokens.
    """
    least = LEAST_RATIO * len(given.text)
    limit = min(MOST_RATIO * len(given.text), LONGEST, most or LONGEST)
    with torch.inference_mode():
        x = lm.sequence([*given.before, *given.text], given.speech, given.embedding)
    limit = min(limit, LONGEST - x.shape[1])
    held = slice(lm.speech_tokens, lm.speech_tokens + 1) if only_eos_waits else slice(lm.speech_tokens, None)
    drawn: list[int] = []
    with sessions.lend(x.shape[1] + limit) as session:
        while len(drawn) < limit:
            with torch.inference_mode():
                logits = session.step(drawn[-1]) if drawn else session.extend(x)
                logp = logits.log_softmax(-1)
                if len(drawn) < least:
                    logp[held] = MINUS_INFINITY
                token = sampler(logp, drawn)
            if token >= lm.speech_tokens:
                return
            drawn.append(token)
            yield token
    if outcome is not None:
        outcome.capped = True
