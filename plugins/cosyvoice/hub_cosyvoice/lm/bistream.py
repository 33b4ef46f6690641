"""Decoding while the text still arrives: text and speech interleaved, 5 text ids to 15 speech tokens.

The sequence is [start, (preamble), 5 text, 15 speech, 5 text, 15 speech, ..., rest of the text, task, speech]. The
model asks for more text with a fill token; one is forced after 15 tokens. Once the text has ended it speaks to its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hub.nn.sampling import MINUS_INFINITY
from hub_cosyvoice.lm.decoder import LONGEST, Decoder, Seats
from hub_cosyvoice.lm.generate import LEAST_RATIO, MOST_RATIO, LMInput, Outcome
from hub_cosyvoice.lm.qwen import QwenLM
from hub_cosyvoice.lm.sampling import Sampler


@dataclass(frozen=True)
class Mix:
    """Text ids and speech tokens of a group."""

    text: int = 5
    speech: int = 15


def interleaved(
    lm: QwenLM,
    seats: Seats,
    given: LMInput,
    pieces: Iterable[int],
    sampler: Sampler,
    *,
    mix: Mix,
    preamble: int,
    most: int | None = None,
    as_reference: bool = False,
    outcome: Outcome | None = None,
) -> Iterator[int]:
    """Speech tokens for the text ids that `pieces` brings, one by one, at most `most`; `given.text` is empty.

    The first `preamble` ids of `given.before` stand before all groups. Once the text has ended, the last phase is held
    to the limits of a text of that length. `as_reference` has none of these limits, masks the first id that is no
    speech and no other, speaks after the preamble alone, and feeds the input before the last fill token twice when
    the text ends after it.
    """
    with Decoder(lm, seats, LONGEST) as decoder:
        walk = _Walk(lm, decoder, given, sampler, mix, preamble, as_reference)

        def spoken() -> Iterator[int]:
            for piece in pieces:
                yield from walk.add(piece)
                if walk.full:
                    return
            yield from walk.finish()

        count = 0
        for count, token in enumerate(spoken(), 1):
            yield token
            if count == most:
                break
        if outcome is not None:
            outcome.capped = walk.full or count == most


class _Walk:
    """The state between two text ids."""

    def __init__(
        self,
        lm: QwenLM,
        decoder: Decoder,
        given: LMInput,
        sampler: Sampler,
        mix: Mix,
        preamble: int,
        as_reference: bool,
    ) -> None:
        self._lm, self._decoder, self._sampler, self._mix = lm, decoder, sampler, mix
        self._reference = as_reference
        self._text: deque[int] = deque(given.before[preamble:])
        self._speech: deque[int] = deque(given.speech)
        self._pending: list[Tensor] = [lm.start()]  # embeddings that the model has not seen yet
        if preamble:
            self._pending.append(lm.embed_text(given.before[:preamble]))
        # There is no text of the caller's yet, or the last token was a fill. The reference takes the preamble for text.
        self._wants_text = not (preamble and as_reference)
        self._drawn: list[int] = []
        self._fed: Tensor | None = None  # what the model saw last
        self._texts = 0
        prompt = len(self._speech)
        self._next_fill = (prompt // mix.speech + 1) * mix.speech - prompt

    @property
    def full(self) -> bool:
        """Whether the sequence cannot take another group."""
        return self._decoder.room <= self._mix.text + self._mix.speech + 2

    @torch.inference_mode()
    def _next(self) -> int:
        """Feed what is pending, and draw: only speech, or the fill token, which is forced when its time has come."""
        logits = self._feed()
        if len(self._drawn) == self._next_fill:
            token = self._fill
        else:
            logp = logits.log_softmax(-1)
            logp[self._lm.speech_tokens] = MINUS_INFINITY
            if not self._reference:
                keep = logp[self._fill].clone()
                logp[self._lm.speech_tokens :] = MINUS_INFINITY
                logp[self._fill] = keep
            token = self._sampler(logp, self._drawn)
        if token == self._fill:
            self._next_fill = len(self._drawn) + self._mix.speech + 1
        self._drawn.append(token)
        return token

    @property
    def _fill(self) -> int:
        assert self._lm.fill is not None
        return self._lm.fill

    def _feed(self) -> Tensor:
        """Run what the model has not seen yet; the logits after it."""
        if self._pending:
            self._fed = torch.cat(self._pending, 1)
            self._pending = []
            return self._decoder.extend(self._fed)
        self._fed = self._lm.embed_speech(torch.tensor(self._drawn[-1:], device=self._lm.device))
        return self._decoder.step(self._drawn[-1])

    def add(self, text: int) -> Iterator[int]:
        """Take one text id; the speech tokens that can be made with it."""
        self._text.append(text)
        self._texts += 1
        with torch.inference_mode():
            self._take_prompt()
        if self._speech:
            return
        if self._wants_text:
            if len(self._text) < self._mix.text:
                return
            self._pending.append(self._embedded(self._mix.text))
            self._wants_text = False
        while not self.full:
            token = self._next()
            if token == self._fill:
                self._wants_text = True
                return
            if token < self._lm.speech_tokens:
                yield token

    def _take_prompt(self) -> None:
        while self._speech and len(self._text) >= self._mix.text:
            speech = [self._speech.popleft() for _ in range(min(self._mix.speech, len(self._speech)))]
            ids = torch.tensor(speech, device=self._lm.device)
            self._pending += [self._embedded(self._mix.text), self._lm.embed_speech(ids)]
            self._wants_text = False

    @torch.inference_mode()
    def _embedded(self, count: int) -> Tensor:
        return self._lm.embed_text([self._text.popleft() for _ in range(count)])

    def finish(self) -> Iterator[int]:
        """The text is at its end: what is left of it, then speech to the end."""
        with torch.inference_mode():
            if self._reference and not self._pending and self._fed is not None:
                self._pending.append(self._fed)
            self._pending += [self._embedded(len(self._text)), self._lm.task()]
        before = sum(token < self._lm.speech_tokens for token in self._drawn)
        spoken = before
        while self._decoder.room > sum(part.shape[1] for part in self._pending):
            with torch.inference_mode():
                logp = self._feed().log_softmax(-1)
                if not self._reference:
                    if spoken < LEAST_RATIO * self._texts:
                        logp[self._lm.speech_tokens :] = MINUS_INFINITY
                    elif spoken >= MOST_RATIO * self._texts:
                        return
                token = self._sampler(logp, self._drawn)
            self._drawn.append(token)
            if token >= self._lm.speech_tokens:
                return
            spoken += 1
            yield token
