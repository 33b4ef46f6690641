"""A parity case's checkpoint as the plugin loads it, and a case's arrays as prompts and audio."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from hub_higgs_audio.checkpoint import load_codec, load_language, load_tokenizer
from hub_higgs_audio.layout import find_codec, find_language
from hub_higgs_audio.machinery import Machinery
from hub_higgs_audio.model.codec import Codec
from hub_higgs_audio.model.language import LanguageModel
from hub_higgs_audio.prompt import Message, Prompt, PromptBuilder, Speaker, opening_messages
from hub_higgs_audio.session import make_sessions
from hub_higgs_audio.text.normalising import speaker_tags
from hub_higgs_audio.tokenizer import HiggsTokenizer
from torch import Tensor

Arrays = dict[str, np.ndarray]
ENDLESS = 1 << 20
CPU = torch.device("cpu")


@dataclass
class Checkpoint:
    """A checkpoint's parts. The codec is loaded by the first stage that needs it, because a case may lack one."""

    path: Path
    language: LanguageModel
    tokenizer: HiggsTokenizer

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        part = find_language(str(path))
        return cls(path, load_language(part, CPU, torch.float32), load_tokenizer(part))

    @cached_property
    def codec(self) -> Codec:
        return load_codec(find_codec(str(self.path)), CPU)

    @property
    def codebook_size(self) -> int:
        return self.language.sizes.codebook_size

    @property
    def prompts(self) -> PromptBuilder:
        return PromptBuilder(self.tokenizer, self.language.sizes)

    def machinery(self, language: LanguageModel | None = None) -> Machinery:
        """Enough of the machinery to generate codes, which needs no codec."""
        language = language or self.language
        return Machinery(language, self.tokenizer, None, make_sessions(language, keep=0), ENDLESS, self.path)


def tensors(inputs: Arrays) -> dict[str, Tensor]:
    """The numeric inputs, without their `in_`."""
    return {
        name.removeprefix("in_"): torch.from_numpy(value)
        for name, value in inputs.items()
        if value.dtype.kind in "iufb"
    }


def codes_of(inputs: Arrays) -> list[Tensor]:
    """The codes of the reference recordings."""
    count = sum(name.startswith("in_ref_codes_") for name in inputs)
    return [torch.from_numpy(inputs[f"in_ref_codes_{number}"]) for number in range(count)]


def opening(scalars: dict, text: str, codes: list[Tensor]) -> list[Message]:
    """The messages before `text`."""
    in_system = scalars["ref_audio_in_system_message"]
    return opening_messages(scalars["scene"], _speakers(scalars, codes), speaker_tags(text), in_system=in_system)


def _speakers(scalars: dict, codes: list[Tensor]) -> list[Speaker]:
    """The speakers that boson's `ref_audio` names."""
    speakers = []
    recordings = iter(zip(codes, scalars["ref_texts"], strict=True))
    for name in (scalars["ref_audio"] or "").split(",") if scalars["ref_audio"] else []:
        if name.startswith("profile:"):
            speakers.append(Speaker(description=scalars["profile_text"]))
        else:
            speakers.append(Speaker(recordings=(next(recordings),)))
    return speakers


def joined(audios: list[Tensor]) -> tuple[np.ndarray, np.ndarray]:
    """The columns of several audios side by side, and the positions at which they begin."""
    if not audios:
        return np.zeros((0, 0), np.int64), np.zeros(0, np.int64)
    starts = np.cumsum([0, *(audio.shape[1] for audio in audios[:-1])])
    return torch.cat(audios, 1).numpy(), starts


def by_kind(model: Checkpoint, prompt: Prompt) -> tuple[list[Tensor], list[Tensor]]:
    """The prompt's audio in messages of the assistant, and in others."""
    tokenizer = model.tokenizer
    kinds = [id for id in prompt.ids if id in (tokenizer.audio, tokenizer.audio_out)]
    paired = list(zip(kinds, prompt.audios, strict=True))
    return (
        [audio for kind, audio in paired if kind == tokenizer.audio_out],
        [audio for kind, audio in paired if kind == tokenizer.audio],
    )


def given_prompt(model: Checkpoint, inputs: Arrays) -> Prompt:
    """The prompt that a stage gives as arrays."""
    given = tensors(inputs)
    audios: dict[int, list[Tensor]] = {}
    for kind, id in (("out", model.tokenizer.audio_out), ("in", model.tokenizer.audio)):
        starts = given[f"audio_{kind}_starts"].tolist()
        columns = given[f"audio_{kind}_ids"]
        ends = [*starts[1:], columns.shape[1]]
        audios[id] = [columns[:, start:end] for start, end in zip(starts, ends, strict=False)]
    ids = given["input_ids"].tolist()
    return Prompt(ids, [audios[id].pop(0) for id in ids if id in audios])
