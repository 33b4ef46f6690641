"""Prompts: the conversation that the language model continues, in boson's words and token by token.

A prompt has a system message (the instruction, the scene, the speakers), references (a user message with a transcript
and an assistant message with its audio), the earlier passages of a long text in the same form, and the text to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from hub_higgs_audio.model.delay import apply_delay
from hub_higgs_audio.model.language import Sizes
from hub_higgs_audio.tokenizer import HiggsTokenizer

INSTRUCTION = "Generate audio following instruction."
SPEAKERS_INSTRUCTION = (
    "You are an AI assistant designed to convert text into speech.\n"
    "If the user's message includes a [SPEAKER*] tag, do not read out the tag and generate speech for the following "
    "text, using the specified voice.\n"
    "If no speaker tag is present, select a suitable voice on your own."
)
"""The two instructions that the released model was trained with, word for word."""


@dataclass(frozen=True)
class Speaker:
    """One speaker: recordings as codes (K, T) with their transcripts, or a description.

    A speaker with neither gets a voice of the model's choice. A transcript of None is unknown.
    """

    recordings: tuple[tuple[Tensor, str | None], ...] = ()
    description: str = ""


class Audio(NamedTuple):
    """Audio within a message: codes (K, T)."""

    codes: Tensor


Content = Sequence["str | Audio"]


class Message(NamedTuple):
    """One message of the conversation."""

    role: str
    content: Content


class Prompt(NamedTuple):
    """Ids with one placeholder for each audio, and the delayed columns (K, F) of each, in order."""

    ids: list[int]
    audios: list[Tensor]


def opening_messages(
    scene: str | None, speakers: Sequence[Speaker], tags: Sequence[str], *, in_system: bool = False, tagged: bool = True
) -> list[Message]:
    """The system message and the references, as boson's script builds them.

    `speakers` begin with SPEAKER0; without any the model chooses the voices. `tags` are the speakers that the text
    names. A description, a recording without a transcript, or `in_system` moves all speakers into the system message,
    where transcripts are not read. With `tagged`, the transcripts of several speakers begin with their tags.
    """
    given = [speaker for speaker in speakers if speaker.description or speaker.recordings]
    if not given:
        return [_without_speakers(scene, tags)]
    if in_system or any(_only_in_system(speaker) for speaker in given):
        return [Message("system", _with_scene(f"{INSTRUCTION}\n\n", scene, _described(speakers)))]
    messages = [Message("system", _with_scene(f"{INSTRUCTION}\n\n", scene, []))] if scene else []
    for number, speaker in enumerate(speakers):
        for codes, transcript in speaker.recordings:
            tag = f"[SPEAKER{number}] " if tagged and len(speakers) > 1 else ""
            messages.append(Message("user", [f"{tag}{transcript}"]))
            messages.append(Message("assistant", [Audio(codes)]))
    return messages


def _only_in_system(speaker: Speaker) -> bool:
    return bool(speaker.description) or any(transcript is None for _, transcript in speaker.recordings)


def _without_speakers(scene: str | None, tags: Sequence[str]) -> Message:
    if len(tags) > 1:  # contrasting voices, for the model to choose by
        kinds = [f"{tag}: {'feminine' if number % 2 == 0 else 'masculine'}" for number, tag in enumerate(tags)]
        return Message("system", _with_scene(f"{SPEAKERS_INSTRUCTION}\n\n", scene, ["\n".join(kinds)]))
    return Message("system", _with_scene(f"{INSTRUCTION}\n\n", scene, []) if scene else [INSTRUCTION])


def _described(speakers: Sequence[Speaker]) -> list[str | Audio]:
    lines: list[str | Audio] = []
    for number, speaker in enumerate(speakers):
        if not speaker.description and not speaker.recordings:
            continue
        lines.append(f"{_newline(lines)}SPEAKER{number}: {speaker.description}")
        lines += [Audio(codes) for codes, _ in speaker.recordings]
    return lines


def _newline(lines: Sequence[object]) -> str:
    return "\n" if lines else ""


def _with_scene(before: str, scene: str | None, rest: Sequence[str | Audio]) -> list[str | Audio]:
    """`before`, then the scene's description with `rest` in it; adjacent texts are joined."""
    start = f"{before}<|scene_desc_start|>\n{scene or ''}"
    parts: list[str | Audio] = [start + ("\n\n" if scene and rest else ""), *rest, "\n<|scene_desc_end|>"]
    joined: list[str | Audio] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return joined


class PromptBuilder:
    """Messages -> ids and audio columns."""

    def __init__(self, tokenizer: HiggsTokenizer, sizes: Sizes) -> None:
        self._tokenizer = tokenizer
        self._sizes = sizes

    def build(self, messages: Sequence[Message], *, forced_audio: bool) -> Prompt:
        """The whole prompt, for the assistant to answer; with `forced_audio` the answer begins with audio."""
        prompt = self.encode(messages)
        ids = prompt.ids + self._header("assistant")
        return Prompt(ids + [self._tokenizer.audio_out_bos] * forced_audio, prompt.audios)

    def encode(self, messages: Sequence[Message]) -> Prompt:
        """`messages` alone, from the beginning of the conversation."""
        ids = [self._tokenizer.begin_of_text]
        audios: list[Tensor] = []
        for number, (role, content) in enumerate(messages):
            ids += self._header(role)
            for part in content:
                if isinstance(part, str):
                    ids += self._tokenizer.encode(part)
                    continue
                ids += self._around_audio(role)
                audios.append(apply_delay(part.codes, self._sizes.bos, self._sizes.eos))
            following = messages[number + 1].role if number + 1 < len(messages) else ""
            in_a_row = role == following == "assistant"
            ids.append(self._tokenizer.end_of_message if in_a_row else self._tokenizer.end_of_turn)
        return Prompt(ids, audios)

    def length(self, prompt: Prompt) -> int:
        """Positions that the prompt takes, its audio included."""
        return len(prompt.ids) + sum(columns.shape[1] - 1 for columns in prompt.audios)

    def _header(self, role: str) -> list[int]:
        return self._tokenizer.encode(f"<|start_header_id|>{role}<|end_header_id|>\n\n")

    def _around_audio(self, role: str) -> list[int]:
        tokenizer = self._tokenizer
        if role == "assistant":
            return [tokenizer.audio_out_bos, tokenizer.audio_out, tokenizer.audio_eos]
        return [tokenizer.audio_bos, tokenizer.audio, tokenizer.audio_eos]
