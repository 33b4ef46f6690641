"""Context: the conversation in which the model says each passage of a text, so that its voice stays the same.

Every passage has a prompt of its own: the opening (system message and references), as many earlier passages with their
audio as are kept, and the passage itself. The opening, with which all of them begin, is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hub.contract.backend import Stop
from hub.contract.errors import InvalidRequest
from hub_higgs_audio.generation import AudioColumn, Generation, Limits, Prefix, TextToken, expanded, prefill
from hub_higgs_audio.machinery import Machinery
from hub_higgs_audio.model.sampling import SamplingParams
from hub_higgs_audio.prompt import Audio, Message, Prompt


@dataclass
class Context:
    """The context of one request. `keep` earlier passages are in the prompt (None: all of them)."""

    machinery: Machinery
    opening: Sequence[Message]
    params: SamplingParams
    stop: Stop
    keep: int | None = None
    forced_audio: bool = True
    _said: list[tuple[str, Tensor]] = field(default_factory=list)
    _prefix: Prefix | None = None

    def prompt(self, text: str) -> Prompt:
        """The prompt of the next passage."""
        messages = [*self.opening]
        for said, codes in self._said:
            messages += [Message("user", [said]), Message("assistant", [Audio(codes)])]
        return self.machinery.prompts.build([*messages, Message("user", [text])], forced_audio=self.forced_audio)

    def generate(self, text: str, limits: Limits, *, seed: int) -> Iterator[TextToken | AudioColumn]:
        """The answer to the next passage. Forgets the oldest passages if prompt and answer would not fit otherwise.

        Raises InvalidRequest if they do not fit even without any.
        """
        prompt = self._fitting(text, limits)
        machinery = self.machinery
        length = machinery.prompts.length(prompt) + limits.max_new_tokens
        with machinery.sessions.lend(length) as session:
            generation = Generation(
                machinery.language, machinery.tokenizer, session, self.params, limits, seed=seed, stop=self.stop
            )
            yield from generation.run(prompt, self._prefix)

    def remember(self, text: str, codes: Tensor) -> None:
        """Add a finished passage: its `text` and its codes (K, T)."""
        self._said.append((text, codes))
        if self.keep is not None:
            self._said = self._said[len(self._said) - self.keep :] if self.keep else []

    def compute_opening(self) -> None:
        """Compute the opening once, for all later passages. It saves time from the second passage on."""
        machinery = self.machinery
        opening = machinery.prompts.encode(self.opening)
        length = machinery.prompts.length(opening)
        if length > machinery.positions:
            return  # the first passage will raise the error
        # The session is made outside inference mode: it may be lent again, and then written to outside that mode.
        with machinery.sessions.lend(length) as session, torch.inference_mode():
            prefill(machinery.language, machinery.tokenizer, opening, session)
            keys, values = (part[:, :, :, :length].clone() for part in (session.cache.keys, session.cache.values))
        self._prefix = Prefix(tuple(expanded(machinery.tokenizer, opening)[0]), keys, values)

    def _fitting(self, text: str, limits: Limits) -> Prompt:
        positions = self.machinery.positions
        while True:
            prompt = self.prompt(text)
            needed = self.machinery.prompts.length(prompt) + limits.max_new_tokens
            if needed <= positions:
                return prompt
            if not self._said:
                raise InvalidRequest(
                    f"the text with its references takes {needed - limits.max_new_tokens} positions and the answer up "
                    f"to {limits.max_new_tokens}; the model has {positions}: shorten the text or the references, "
                    "choose a `chunk_method`, or lower sampling.max_new_tokens"
                )
            del self._said[0]
