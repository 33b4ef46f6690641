"""A request -> the prompts of the models: the ids that the language model reads first, and the flow's speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hub_cosyvoice.config import Generation
from hub_cosyvoice.decoding.generate import LMInput
from hub_cosyvoice.model.acoustic_prompt import AcousticPrompt
from hub_cosyvoice.options import Mode
from hub_cosyvoice.text.normalise import Normaliser
from hub_cosyvoice.tokenizer import Tokenizer
from hub_cosyvoice.tokenizer.tags import END_OF_PROMPT
from hub_cosyvoice.voices import Speaker

PREAMBLE = "You are a helpful assistant."
"""The text that the third generation was trained to read first."""


@dataclass(frozen=True)
class Plan:
    """Everything about a request but its text: `prompt` for the flow, and the prompt of the language model.

    `before` are the ids before the text, `speech` the prompt's speech tokens. The first `preamble` ids of `before` are
    not spoken in the prompt; `tag` goes before each text.
    """

    mode: str
    prompt: AcousticPrompt
    before: tuple[int, ...] = ()
    speech: tuple[int, ...] = ()
    takes_speaker: bool = False
    preamble: int = 0
    tag: str = ""

    def lm_input(self, text: Sequence[int]) -> LMInput:
        """The input of the language model for one text's ids."""
        embedding = self.prompt.embedding if self.takes_speaker else None
        return LMInput(text, before=self.before, speech=self.speech, embedding=embedding)


class Planner:
    """Makes Plans for one model."""

    def __init__(
        self,
        generation: Generation,
        tokenizer: Tokenizer,
        normaliser: Normaliser,
        frames_per_token: int,
        *,
        as_official: bool = False,
    ) -> None:
        """`as_official` adds neither the marker nor the preamble that an instruction lacks."""
        self._generation, self._tokenizer, self._normaliser = generation, tokenizer, normaliser
        self._ratio = frames_per_token
        self._as_official = as_official

    def plan(
        self,
        mode: Mode,
        speaker: Speaker,
        *,
        instruct: str | None = None,
        frontend: bool = True,
        preamble: str | None = None,
        tag: str = "",
    ) -> Plan:
        """The plan of a request. `preamble` replaces the third generation's own; `tag` is a language of the first."""
        prompt = speaker.prompt if self._generation == 1 else speaker.prompt.aligned(self._ratio)
        before, length = self._before(mode, speaker, instruct, frontend, preamble)
        return Plan(
            mode=mode,
            prompt=prompt,
            before=tuple(before),
            speech=tuple(prompt.tokens.tolist()) if mode == "zero_shot" else (),
            takes_speaker=self._generation == 1 and mode != "instruct",
            preamble=length,
            tag=tag,
        )

    def _before(
        self, mode: Mode, speaker: Speaker, instruct: str | None, frontend: bool, preamble: str | None
    ) -> tuple[list[int], int]:
        """The ids before the text, and the number of them that are preamble."""
        if self._as_official and instruct is not None:
            written = self._normaliser.whole(instruct, enabled=frontend) if mode == "instruct" else instruct
            ids = self._tokenizer.encode(written, control=True)
            return ids, len(ids) if self._generation == 3 else 0
        if mode == "instruct":
            return self._tokenizer.encode(self._instruction_first(instruct or "", frontend)), 0
        if mode == "instruct2":
            ids = self._ended((instruct or "").removesuffix(END_OF_PROMPT), preamble)
            return ids, len(ids) if self._generation == 3 else 0
        spoken: list[int] = []
        if mode == "zero_shot" and speaker.transcript_ids is not None:
            spoken = list(speaker.transcript_ids)
        elif mode == "zero_shot":
            transcript = speaker.transcript or ""
            if self._generation == 3 and END_OF_PROMPT in transcript:
                preamble, transcript = transcript.split(END_OF_PROMPT, 1)
                frontend = False
            spoken = self._tokenizer.encode(self._normaliser.whole(transcript, enabled=frontend))
        if self._generation != 3:
            return spoken, 0
        marker = self._tokenizer.end_of_prompt
        if marker in spoken:
            return spoken, spoken.index(marker) + 1
        ids = [*self._tokenizer.encode(PREAMBLE if preamble is None else preamble), *self._marker()]
        return [*ids, *spoken], len(ids)

    def _instruction_first(self, instruct: str, frontend: bool) -> str:
        """The first generation's instruction, which ends with the marker as ordinary text."""
        if instruct.endswith(END_OF_PROMPT):
            return instruct
        return self._normaliser.whole(instruct, enabled=frontend) + END_OF_PROMPT

    def _ended(self, instruct: str, preamble: str | None) -> list[int]:
        """The ids of the second and third generation's instruction with its marker; it is not normalised."""
        if self._generation == 3 and preamble is None and not instruct.startswith(PREAMBLE):
            instruct = f"{PREAMBLE} {instruct}"
        return [*self._tokenizer.encode(instruct), *self._marker()]

    def _marker(self) -> list[int]:
        return [] if self._tokenizer.end_of_prompt is None else [self._tokenizer.end_of_prompt]
