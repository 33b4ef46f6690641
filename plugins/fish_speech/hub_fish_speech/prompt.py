"""Prompts: texts and codes -> the columns that the language model reads.

A column is 1 + C ids: the main token, and the C codes of a frame where the main token stands for audio (zeros
elsewhere). Every part of a prompt is tokenized on its own: no token reaches across two parts. Codes are those of the
codec; 1.4's shift by one happens here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hub_fish_speech.text.cleaning import clean_text
from hub_fish_speech.text.dialogue import SPEAKER, speaker_tag
from hub_fish_speech.tokenizer import IM_END, IM_START, Tokenizer
from hub_fish_speech.variants import Variant

SYSTEM_V1_5 = "Speak out the provided text."
SYSTEM_S2 = "convert the provided text to speech"


class Example(NamedTuple):
    """A text and its sound: `codes`, (C, T) integers of the codec."""

    text: str
    codes: Tensor


class Past(NamedTuple):
    """A segment that was spoken: its text, and all frames (1 + C, N) that the model made."""

    text: str
    frames: Tensor


class Prompter:
    """Writes the prompts of one variant. `codebooks` is C."""

    def __init__(self, variant: Variant, tokenizer: Tokenizer, codebooks: int) -> None:
        self._variant = variant
        self._tokenizer = tokenizer
        self._codebooks = codebooks

    def prompt(
        self,
        text: str,
        references: Sequence[Example] = (),
        history: Sequence[Past] = (),
        *,
        system: bool = True,
        max_length: int = 0,
    ) -> Tensor:
        """The prompt for speaking `text` as `references` sound, after `history`: (1 + C, T) int64.

        `system` false leaves out 1.5's system message, as its command line does. `max_length` is the budget of 1.x:
        past segments between the first and the newest are left out if they do not fit.
        """
        if self._variant.name == "s1":
            return self._s1(text, references, history)
        if self._variant.name == "s2":
            return self._s2(text, references, history)
        return self._v1(text, references, history, system, max_length or self._variant.max_length)

    def text_columns(self, *parts: str, user: str | None = None) -> Tensor:
        """(1 + C, T) of parts that the prompt writes itself, then of a user's text."""
        ids = [number for part in parts for number in self._tokenizer.encode(part)]
        if user is not None:
            ids += self._tokenizer.encode_user(user)
        return self._columns(ids)

    def code_columns(self, codes: Tensor) -> Tensor:
        """(1 + C, T) of codes (C, T); rows beyond C are cut."""
        codes = codes[: self._codebooks].to("cpu", torch.int64) + self._variant.code_shift
        main = torch.full_like(codes[:1], self._tokenizer.semantic_begin)
        if not self._variant.samples_first_code:
            main = main + codes[:1]
        return torch.cat([main, codes])

    def kept(self, frames: Tensor) -> Tensor:
        """The codes (C, N) of `frames` (1 + C, N') that reach the codec.

        Upstream drops one frame of each run, whatever it holds: the first or the last, by the variant.
        """
        return self.codes(frames[:, 1:] if self._variant.drops == "first" else frames[:, :-1])

    def codes(self, frames: Tensor) -> Tensor:
        """Frames (1 + C, N) -> the codec's codes (C, N). Frames that are not audio count as code 0."""
        return (frames[1:] - self._variant.code_shift).clamp(min=0)

    def _s1(self, text: str, references: Sequence[Example], history: Sequence[Past]) -> Tensor:
        parts = [self.text_columns("<|interleave|>")]
        spoken = [*references, *(Example(past.text, self.kept(past.frames)) for past in history)]
        for example in spoken:
            parts += [
                self.text_columns(speaker_tag(0), user=example.text),
                self.code_columns(example.codes),
                self.text_columns(IM_END),
            ]
        return torch.cat([*parts, self.text_columns(speaker_tag(0), user=text)], dim=1)

    def _s2(self, text: str, references: Sequence[Example], history: Sequence[Past]) -> Tensor:
        begin, end = f"{IM_START}system\n", f"{IM_END}\n"
        if references:
            texts = [_tagged(example.text, number) for number, example in enumerate(references)]
            codes = torch.cat([example.codes[: self._codebooks] for example in references], dim=1)
            parts = [
                self.text_columns(begin, f"{SYSTEM_S2} reference to the following:\n\nText:\n", user="\n".join(texts)),
                self.text_columns("\n\nSpeech:\n"),
                self.code_columns(codes),
                self.text_columns(end),
            ]
        else:
            parts = [self.text_columns(begin, SYSTEM_S2, end)]
        answer = f"{IM_START}assistant\n<|voice|>"
        for past in history:
            parts += [
                self.text_columns(f"{IM_START}user\n", user=past.text),
                self.text_columns(end, answer),
                self.code_columns(self.kept(past.frames)),
                self.text_columns(end),
            ]
        parts += [self.text_columns(f"{IM_START}user\n", user=text), self.text_columns(end, answer)]
        return torch.cat(parts, dim=1)

    def _v1(
        self, text: str, references: Sequence[Example], history: Sequence[Past], system: bool, max_length: int
    ) -> Tensor:
        named = self._variant.name == "v1_5"
        fixed = [self.text_columns(f"{IM_START}system\n", SYSTEM_V1_5, IM_END)] if named else []
        for example in references:
            fixed += [self._v1_user(example.text), self.code_columns(example.codes), self.text_columns(IM_END)]
        past: list[Tensor] = []
        for one in history:
            past += [self._v1_user(one.text), one.frames if named else one.frames[:, :-1]]
        past.append(self._v1_user(text))
        room = max_length - 1024 - sum(part.shape[1] for part in fixed)
        return torch.cat([*(fixed if system else []), *_recent(past, room)], dim=1)

    def _v1_user(self, text: str) -> Tensor:
        """A user's text, up to where its audio begins."""
        text = clean_text(text, self._variant)
        if self._variant.name == "v1_4":
            ids = self._tokenizer.encode_user(text, before=f"{IM_START}user\n", after=f"{IM_END}{IM_START}assistant\n")
            return self._columns(ids)
        parts = [
            self.text_columns(f"{IM_START}user\n", user=text),
            self.text_columns(IM_END, f"{IM_START}assistant\n", "<|voice|>"),
        ]
        return torch.cat(parts, dim=1)

    def _columns(self, ids: list[int]) -> Tensor:
        columns = torch.zeros(1 + self._codebooks, len(ids), dtype=torch.int64)
        columns[0] = torch.tensor(ids, dtype=torch.int64)
        return columns


def _tagged(text: str, number: int) -> str:
    """A reference's transcript with a speaker tag: its own, if it has one."""
    return text if SPEAKER.search(text) else speaker_tag(number) + text


def _recent(past: Sequence[Tensor], room: int) -> list[Tensor]:
    """The parts of `past` (segment, frames, segment, ..., the segment to be spoken) that 1.x remembers.

    They are the newest that fit into `room` positions, where the one that is counted last counts twice, and always the
    first segment with its frames, so that the voice does not drift. If not even the newest fits, all of them come after
    the first.
    """
    count = kept = 0
    for kept, part in enumerate(reversed(past)):  # noqa: B007
        count += part.shape[1]
        if count + part.shape[1] > room:
            break
    if kept and kept % 2 == 0:
        kept -= 1
    if kept >= len(past) - 2:
        return list(past)
    return [*past[:2], *past[-kept:]]  # with kept == 0 that is all of them, as in the vendor's code
