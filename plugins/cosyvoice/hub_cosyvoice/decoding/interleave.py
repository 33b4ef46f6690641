"""Decoding while the text still arrives: text and speech interleaved, 5 text ids to 15 speech tokens.

The sequence is [start, (preamble), 5 text, 15 speech, 5 text, 15 speech, ..., rest of the text, task id, speech]. The
model asks for more text with a fill token; one is forced after 15 tokens. Once the text has ended it speaks to its end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from hub.nn.sampling import MINUS_INFINITY
from hub_cosyvoice.decoding.generate import LEAST_RATIO, MOST_RATIO, LMInput, Outcome
from hub_cosyvoice.decoding.sampling import Sampler
from hub_cosyvoice.model.lm.qwen import QwenLM
from hub_cosyvoice.session import LONGEST, Session, Sessions


@dataclass(frozen=True)
class GroupSizes:
    """Text ids and speech tokens of a group."""

    text: int = 5
    speech: int = 15


def interleaved(
    lm: QwenLM,
    sessions: Sessions,
    given: LMInput,
    pieces: Iterable[int],
    sampler: Sampler,
    *,
    sizes: GroupSizes,
    preamble: int,
    most: int | None = None,
    as_official: bool = False,
    outcome: Outcome | None = None,
) -> Iterator[int]:
    """Speech tokens for the text ids of `pieces`, which come one by one; at most `most`. `given.text` is empty.

    The first `preamble` ids of `given.before` come before all groups. Once the text has ended, the limits of a text of
    that length hold for the last phase. `as_official` has none of these limits, masks the first id that is not speech
    and no other, speaks after the preamble alone, and feeds the input before the last fill token twice when the text
    ends after it.
    """
    with sessions.lend(LONGEST) as session:
        groups = _Groups(lm, session, given, sampler, sizes, preamble, as_official)

        def spoken() -> Iterator[int]:
            for piece in pieces:
                yield from groups.add(piece)
                if groups.full:
                    return
            yield from groups.finish()

        count = 0
        for count, token in enumerate(spoken(), 1):
            yield token
            if count == most:
                break
        if outcome is not None:
            outcome.capped = groups.full or count == most


class _Groups:
    """The state between two text ids."""

    def __init__(
        self,
        lm: QwenLM,
        session: Session,
        given: LMInput,
        sampler: Sampler,
        sizes: GroupSizes,
        preamble: int,
        as_official: bool,
    ) -> None:
        self._lm, self._session, self._sampler, self._sizes = lm, session, sampler, sizes
        self._official = as_official
        self._fill = lm.fill
        self._text: deque[int] = deque(given.before[preamble:])
        self._speech: deque[int] = deque(given.speech)
        self._pending: list[Tensor] = [lm.start()]  # embeddings that the model has not read yet
        if preamble:
            self._pending.append(lm.embed_text(given.before[:preamble]))
        # True before the caller's first text, and after a fill token. The official code takes the preamble for text.
        self._wants_text = not (preamble and as_official)
        self._drawn: list[int] = []
        self._fed: Tensor | None = None  # the last input of the model
        self._texts = 0
        prompt = len(self._speech)
        self._next_fill = (prompt // sizes.speech + 1) * sizes.speech - prompt

    @property
    def full(self) -> bool:
        """True if the sequence has no room for another group."""
        return self._session.room <= self._sizes.text + self._sizes.speech + 2

    @torch.inference_mode()
    def _next(self) -> int:
        """Feed the pending embeddings and draw: speech, or the fill token, which is forced at the end of a group."""
        logits = self._feed()
        if len(self._drawn) == self._next_fill:
            token = self._fill
        else:
            logp = logits.log_softmax(-1)
            logp[self._lm.speech_tokens] = MINUS_INFINITY
            if not self._official:
                keep = logp[self._fill].clone()
                logp[self._lm.speech_tokens :] = MINUS_INFINITY
                logp[self._fill] = keep
            token = self._sampler(logp, self._drawn)
        if token == self._fill:
            self._next_fill = len(self._drawn) + self._sizes.speech + 1
        self._drawn.append(token)
        return token

    def _feed(self) -> Tensor:
        """Run the input that the model has not read yet; returns the logits after it."""
        if self._pending:
            self._fed = torch.cat(self._pending, 1)
            self._pending = []
            return self._session.extend(self._fed)
        self._fed = self._lm.embed_speech(torch.tensor(self._drawn[-1:], device=self._lm.device))
        return self._session.step(self._drawn[-1])

    def add(self, text: int) -> Iterator[int]:
        """Take one text id; yields the speech tokens that can be made with it."""
        self._text.append(text)
        self._texts += 1
        with torch.inference_mode():
            self._take_prompt()
        if self._speech:
            return
        if self._wants_text:
            if len(self._text) < self._sizes.text:
                return
            self._pending.append(self._embedded(self._sizes.text))
            self._wants_text = False
        while not self.full:
            token = self._next()
            if token == self._fill:
                self._wants_text = True
                return
            if token < self._lm.speech_tokens:
                yield token

    def _take_prompt(self) -> None:
        while self._speech and len(self._text) >= self._sizes.text:
            speech = [self._speech.popleft() for _ in range(min(self._sizes.speech, len(self._speech)))]
            ids = torch.tensor(speech, device=self._lm.device)
            self._pending += [self._embedded(self._sizes.text), self._lm.embed_speech(ids)]
            self._wants_text = False

    @torch.inference_mode()
    def _embedded(self, count: int) -> Tensor:
        return self._lm.embed_text([self._text.popleft() for _ in range(count)])

    def finish(self) -> Iterator[int]:
        """The text has ended: read the rest of it, then speak to the end."""
        with torch.inference_mode():
            if self._official and not self._pending and self._fed is not None:
                self._pending.append(self._fed)
            self._pending += [self._embedded(len(self._text)), self._lm.task_id()]
        spoken = sum(token < self._lm.speech_tokens for token in self._drawn)
        while self._session.room > sum(part.shape[1] for part in self._pending):
            with torch.inference_mode():
                logp = self._feed().log_softmax(-1)
                if not self._official:
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
