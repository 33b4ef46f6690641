"""The ways to prompt the models, and which of them a request means.

| mode | said before the text | prompt speech | speaker of the first generation |
|---|---|---|---|
| sft | nothing | none | the preset's |
| zero_shot | the transcript | the recording's | the recording's |
| cross_lingual | nothing | none | the recording's |
| instruct (first generation) | the instruction | none | none, on purpose |
| instruct2 (second and third) | the instruction | none | has no place for one |

The flow always gets the recording, if there is one, and the speaker's embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hub.contract.errors import InvalidRequest, UnsupportedCapability
from hub_cosyvoice.config import Generation
from hub_cosyvoice.lm.generate import LMInput
from hub_cosyvoice.options import Mode
from hub_cosyvoice.prompt import Prompt
from hub_cosyvoice.speakers import Speaker
from hub_cosyvoice.text.normalise import Normaliser, is_chinese
from hub_cosyvoice.tokenizer import Tokenizer
from hub_cosyvoice.tokenizer.tags import END_OF_PROMPT
from hub_cosyvoice.tokenizer.whisper import SPOKEN

PREAMBLE = "You are a helpful assistant."
"""What the third generation was trained to read first."""

MODES: dict[Generation, tuple[Mode, ...]] = {
    1: ("sft", "zero_shot", "cross_lingual", "instruct"),
    2: ("sft", "zero_shot", "cross_lingual", "instruct2"),
    3: ("sft", "zero_shot", "cross_lingual", "instruct2"),
}


def choose_mode(
    generation: Generation, speaker: Speaker, *, forced: Mode | None, instruct: str | None, language: str | None
) -> Mode:
    """The mode of a request: the forced one if it can be, else what follows from what is given.

    An instruction makes it instruct or instruct2; a preset without a recording sft; a transcribed recording in the
    language of the text zero_shot; any other recording cross_lingual. Raises UnsupportedCapability for a mode that the
    generation does not have, InvalidRequest for one that lacks what it needs.
    """
    instructed: Mode = "instruct" if generation == 1 else "instruct2"
    if forced is None:
        if instruct is not None:
            return instructed
        if not speaker.recorded:
            return "sft"
        foreign = language and speaker.language and _primary(language) != _primary(speaker.language)
        return "zero_shot" if speaker.transcribed and not foreign else "cross_lingual"
    if forced not in MODES[generation]:
        raise UnsupportedCapability(
            f"a model of generation {generation} has no mode {forced!r}; it has {', '.join(MODES[generation])}",
            capability=forced,
        )
    if forced == instructed and instruct is None:
        raise InvalidRequest(f"the mode {forced!r} needs an instruction: give `instruct`", field="instruct")
    if forced != instructed and instruct is not None:
        raise InvalidRequest(
            f"the mode {forced!r} takes no instruction: leave `instruct` out, or choose {instructed!r}",
            field="instruct",
        )
    if forced in ("zero_shot", "cross_lingual", "instruct2") and not speaker.recorded:
        raise InvalidRequest(f"the mode {forced!r} needs a recording: give `references`, or a voice that has one")
    if forced == "zero_shot" and not speaker.transcribed:
        raise InvalidRequest(
            "the mode 'zero_shot' needs the transcript of the recording; without one choose 'cross_lingual'"
        )
    return forced


@dataclass(frozen=True)
class Plan:
    """Everything about a request but its text: `prompt` for the flow, and what the language model reads first.

    The first `preamble` ids of `before` are no speech; `tag` goes before each text.
    """

    mode: str
    prompt: Prompt
    before: tuple[int, ...] = ()
    speech: tuple[int, ...] = ()
    hears_speaker: bool = False
    preamble: int = 0
    tag: str = ""

    def lm_input(self, text: Sequence[int]) -> LMInput:
        """For one text's ids."""
        embedding = self.prompt.embedding if self.hears_speaker else None
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
        as_reference: bool = False,
    ) -> None:
        """`as_reference` leaves an instruction without the marker or the preamble that it lacks."""
        self._generation, self._tokenizer, self._normaliser = generation, tokenizer, normaliser
        self._ratio = frames_per_token
        self._as_reference = as_reference

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
        """`preamble` takes the place of the third generation's own; `tag` is the first generation's language."""
        prompt = speaker.prompt if self._generation == 1 else speaker.prompt.aligned(self._ratio)
        before, length = self._before(mode, speaker, instruct, frontend, preamble)
        return Plan(
            mode=mode,
            prompt=prompt,
            before=tuple(before),
            speech=tuple(prompt.tokens.tolist()) if mode == "zero_shot" else (),
            hears_speaker=self._generation == 1 and mode != "instruct",
            preamble=length,
            tag=tag,
        )

    def _before(
        self, mode: Mode, speaker: Speaker, instruct: str | None, frontend: bool, preamble: str | None
    ) -> tuple[list[int], int]:
        """The ids before the text, and how many of them are preamble."""
        if self._as_reference and instruct is not None:
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
        """The second and third generation's instruction with its marker; it is not normalised."""
        if self._generation == 3 and preamble is None and not instruct.startswith(PREAMBLE):
            instruct = f"{PREAMBLE} {instruct}"
        return [*self._tokenizer.encode(instruct), *self._marker()]

    def _marker(self) -> list[int]:
        return [] if self._tokenizer.end_of_prompt is None else [self._tokenizer.end_of_prompt]


def split_text(generation: Generation, text: str) -> tuple[str | None, str, str]:
    """What stands before the text: (the third generation's preamble or None, a language tag or "", the text)."""
    if generation == 3 and END_OF_PROMPT in text:
        preamble, rest = text.split(END_OF_PROMPT, 1)
        return preamble, "", rest
    if generation == 1:
        for language in SPOKEN:
            if text.lstrip().startswith(tag := f"<|{language}|>"):
                return None, tag, text.lstrip().removeprefix(tag)
    return None, "", text


def language_tag(language: str | None, text: str) -> str:
    """The first generation's tag of `language`, or else of the script that `text` is written in."""
    if language:
        primary = _primary(language)
        if primary == "zh" and language.lower() in ("zh-hk", "zh-yue"):
            primary = "yue"
        if primary in SPOKEN:
            return f"<|{primary}|>"
    if any("\u3040" <= char <= "\u30ff" for char in text):
        return "<|ja|>"
    if any("\uac00" <= char <= "\ud7af" for char in text):
        return "<|ko|>"
    return "<|zh|>" if is_chinese(text) else "<|en|>"


def _primary(language: str) -> str:
    return language.lower().split("-")[0]
