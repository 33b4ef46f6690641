"""The decoding loop for a text that is there as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hub.nn.sampling import MINUS_INFINITY
from hub_cosyvoice.lm.decoder import LONGEST, Decoder, Seats
from hub_cosyvoice.lm.model import SpeechLM
from hub_cosyvoice.lm.sampling import Sampler

LEAST_RATIO, MOST_RATIO = 2, 20
"""Speech tokens for each text id, at least and at most."""


@dataclass(frozen=True)
class LMInput:
    """What a mode gives the language model: ids of `before` (transcript or instruction) and of the `text` itself, the
    prompt's `speech` tokens, and the speaker's `embedding` (192,) for the generation that hears it.
    """

    text: Sequence[int]
    before: Sequence[int] = ()
    speech: Sequence[int] = ()
    embedding: Tensor | None = None


@dataclass
class Outcome:
    """How a loop ended: `capped` if it was the limit that ended it."""

    capped: bool = False


def generate(
    lm: SpeechLM,
    seats: Seats,
    given: LMInput,
    sampler: Sampler,
    *,
    most: int | None = None,
    only_eos_waits: bool = False,
    outcome: Outcome | None = None,
) -> Iterator[int]:
    """Speech tokens, one by one, until an id that is no speech.

    None of those comes before `LEAST_RATIO` tokens for each id of the text; with `only_eos_waits` only the first such
    id is held back, as in the reference (in the third generation that is not even the end). `most` caps the tokens.
    """
    least = LEAST_RATIO * len(given.text)
    limit = min(MOST_RATIO * len(given.text), LONGEST, most or LONGEST)
    with torch.inference_mode():
        x = lm.sequence([*given.before, *given.text], given.speech, given.embedding)
    limit = min(limit, LONGEST - x.shape[1])
    held = slice(lm.speech_tokens, lm.speech_tokens + 1) if only_eos_waits else slice(lm.speech_tokens, None)
    drawn: list[int] = []
    with Decoder(lm, seats, x.shape[1] + limit) as decoder:
        while len(drawn) < limit:
            with torch.inference_mode():
                logits = decoder.step(drawn[-1]) if drawn else decoder.extend(x)
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
