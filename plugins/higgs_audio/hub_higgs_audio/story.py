"""A long text, chunk by chunk: each is generated behind what was generated before it, so that the voice stays.

Every chunk is a conversation of its own: the frame (system message and references), as many earlier chunks with their
audio as are kept, and the chunk itself. What all of them begin with, the frame, is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hub.contract.backend import Stop
from hub.contract.errors import InvalidRequest
from hub_higgs_audio.model.generate import AudioColumn, Generation, Limits, Prefix, TextToken, expanded, prefill
from hub_higgs_audio.model.language import LanguageModel
from hub_higgs_audio.model.sampling import Settings
from hub_higgs_audio.model.slots import Slots
from hub_higgs_audio.prompt import Audio, Message, Prompt, PromptBuilder
from hub_higgs_audio.tokens import Tokens


@dataclass
class Engine:
    """What all requests share: the model, its tokens, its slots. `longest` positions are the most that one may fill."""

    model: LanguageModel
    tokens: Tokens
    slots: Slots
    longest: int

    @property
    def prompts(self) -> PromptBuilder:
        """Builds this model's prompts."""
        return PromptBuilder(self.tokens, self.model.sizes)


@dataclass
class Story:
    """One request on its way through its chunks. `keep` earlier chunks stand in the prompt (None: all of them)."""

    engine: Engine
    frame: Sequence[Message]
    settings: Settings
    stop: Stop
    keep: int | None = None
    forced_audio: bool = True
    _told: list[tuple[str, Tensor]] = field(default_factory=list)
    _prefix: Prefix | None = None

    def prompt(self, text: str) -> Prompt:
        """The prompt of the next chunk."""
        messages = [*self.frame]
        for said, codes in self._told:
            messages += [Message("user", [said]), Message("assistant", [Audio(codes)])]
        return self.engine.prompts.build([*messages, Message("user", [text])], forced_audio=self.forced_audio)

    def generate(self, text: str, limits: Limits, *, seed: int) -> Iterator[TextToken | AudioColumn]:
        """The reply to the next chunk. Forgets the oldest chunks where prompt and reply would not fit.

        Raises InvalidRequest if they do not fit even without any.
        """
        prompt = self._fitting(text, limits)
        length = self.engine.prompts.length(prompt) + limits.max_new_tokens
        engine = self.engine
        with engine.slots.lend(length) as slot:
            generation = Generation(engine.model, engine.tokens, slot, self.settings, limits, seed=seed, stop=self.stop)
            yield from generation.run(prompt, self._prefix)

    def told(self, text: str, codes: Tensor) -> None:
        """A chunk is finished: codes (K, T) say `text`."""
        self._told.append((text, codes))
        if self.keep is not None:
            self._told = self._told[len(self._told) - self.keep :] if self.keep else []

    def remember_frame(self) -> None:
        """Compute the frame once, for all chunks to come. Worth it from the second chunk on."""
        engine = self.engine
        opening = engine.prompts.opening(self.frame)
        length = engine.prompts.length(opening)
        if length > engine.longest:
            return  # the first chunk will be refused
        with torch.inference_mode(), engine.slots.lend(length) as slot:
            prefill(engine.model, engine.tokens, opening, slot)
            keys, values = (part[:, :, :, :length].clone() for part in (slot.cache.keys, slot.cache.values))
        self._prefix = Prefix(tuple(expanded(engine.tokens, opening)[0]), keys, values)

    def _fitting(self, text: str, limits: Limits) -> Prompt:
        while True:
            prompt = self.prompt(text)
            needed = self.engine.prompts.length(prompt) + limits.max_new_tokens
            if needed <= self.engine.longest:
                return prompt
            if not self._told:
                raise InvalidRequest(
                    f"the text with its references takes {needed - limits.max_new_tokens} positions and the answer up "
                    f"to {limits.max_new_tokens}; the model has {self.engine.longest}: shorten the text or the "
                    "references, choose a `chunk_method`, or lower sampling.max_new_tokens"
                )
            del self._told[0]
