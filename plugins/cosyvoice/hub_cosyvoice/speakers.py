"""Who speaks: presets of a checkpoint, recordings, and the state that `make_voice` prepares of them."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import soundfile
import torch
from safetensors import SafetensorError
from torch import Tensor

from hub.contract.errors import InvalidAudio
from hub.contract.speech import Reference
from hub.contract.voice import Voice
from hub.nn.features import resample
from hub.nn.weights import CheckpointError, load_torch
from hub_cosyvoice.features import LONGEST, Features
from hub_cosyvoice.prompt import Prompt

FORMAT = "cosyvoice-speaker-1"
"""Marks prepared state; goes up when its content changes."""

EMBEDDING = 192
"""Numbers of a speaker embedding, in all releases."""

OFFICIAL = {
    "中文女": ("zh", "female"),
    "中文男": ("zh", "male"),
    "日语男": ("ja", "male"),
    "粤语女": ("yue", "female"),
    "英文女": ("en", "female"),
    "英文男": ("en", "male"),
    "韩语女": ("ko", "female"),
}
"""Language and gender of the presets in the releases of the first generation."""


@dataclass(frozen=True)
class Speaker:
    """A voice as the models get it.

    `transcript` is what is said in the prompt; None if nobody said it. A saved zero-shot voice has it as
    `transcript_ids`.
    """

    prompt: Prompt
    transcript: str | None = None
    transcript_ids: tuple[int, ...] | None = None
    language: str | None = None

    @property
    def recorded(self) -> bool:
        """Whether there is a recording behind it: a preset of the SFT models is an embedding only."""
        return len(self.prompt.tokens) > 0

    @property
    def transcribed(self) -> bool:
        """Whether it is known what the recording says."""
        return self.transcript is not None or self.transcript_ids is not None


# -- presets -----------------------------------------------------------------------------------------------------------


def read_presets(folder: Path, bands: int = 80) -> dict[str, Speaker]:
    """The speakers in `spk2info.pt`; none without the file. Raises CheckpointError for one that is damaged."""
    file = folder / "spk2info.pt"
    if not file.is_file():
        return {}
    found = load_torch(file)
    if not isinstance(found, dict):
        raise CheckpointError(f"{file.name} is no dictionary of speakers", file=file.name)
    return {str(name): _preset(str(name), entry, bands) for name, entry in found.items()}


def _preset(name: str, entry: Any, bands: int) -> Speaker:
    def tensor(*keys: str) -> Tensor | None:
        value = next((entry[key] for key in keys if key in entry), None) if isinstance(entry, dict) else None
        return value if isinstance(value, Tensor) else None

    embedding = tensor("flow_embedding", "embedding", "llm_embedding")
    if embedding is None or embedding.numel() != EMBEDDING:
        raise CheckpointError(f"spk2info.pt: the speaker {name[:50]!r} has no embedding", file="spk2info.pt")
    prompt = Prompt.of_embedding(embedding, bands)
    tokens, mel = tensor("flow_prompt_speech_token"), tensor("prompt_speech_feat")
    if tokens is not None and mel is not None:
        prompt = replace(prompt, tokens=tokens.reshape(-1).long(), mel=mel.float().reshape(-1, bands))
    ids = tensor("prompt_text")
    return Speaker(prompt, transcript_ids=None if ids is None or not ids.numel() else tuple(ids.reshape(-1).tolist()))


def preset_voices(presets: dict[str, Speaker]) -> list[Voice]:
    """The presets as the hub lists them; the first one is the default."""
    voices = []
    for place, (name, speaker) in enumerate(presets.items()):
        language, gender = OFFICIAL.get(name, ("", ""))
        voices.append(
            Voice(
                id=name,
                name=name,
                languages=(language,) if language else (),
                tags=tuple(filter(None, (gender, "zero-shot" if speaker.recorded else ""))),
                default=place == 0,
            )
        )
    return voices


# -- recordings --------------------------------------------------------------------------------------------------------


class Recordings:
    """Makes Speakers of references, and remembers the last ones by their content."""

    def __init__(self, features: Features, remembered: int = 16) -> None:
        self._features = features
        self._remembered = remembered
        self._prompts: OrderedDict[bytes, Prompt] = OrderedDict()
        self._lock = threading.Lock()

    def speaker(self, references: Sequence[Reference], prepared: bytes | None = None) -> Speaker:
        """The speaker of `references`; `prepared` spares the work if it is what `prepare` made of them.

        Of several recordings those are heard that fit into the models' 30 s, the first ones first. Raises InvalidAudio
        for recordings that cannot be used.
        """
        references = _fitting(references)
        prompt = unpacked(prepared) if prepared else None
        if prompt is None:
            prompt = self._prompt(references)
        texts = [reference.text for reference in references]
        transcript = None if None in texts else " ".join(text for text in texts if text is not None)
        return Speaker(prompt, transcript=transcript, language=references[0].language)

    def prepare(self, references: Sequence[Reference]) -> bytes:
        """What `make_voice` gives the hub to keep: the features of the recordings, as safetensors."""
        return packed(self._prompt(_fitting(references)))

    def _prompt(self, references: Sequence[Reference]) -> Prompt:
        key = hashlib.sha256(b"\0".join(hashlib.sha256(one.audio).digest() for one in references)).digest()
        with self._lock:
            if (known := self._prompts.get(key)) is not None:
                self._prompts.move_to_end(key)
                return known
        prompt = self._features.prompt(*_joined(references))
        with self._lock:
            self._prompts[key] = prompt
            while len(self._prompts) > self._remembered:
                self._prompts.popitem(last=False)
        return prompt


def read_wave(audio: bytes) -> tuple[Tensor, int]:
    """A WAV as the hub hands it on -> samples (N,) float32 and their rate. Raises InvalidAudio."""
    try:
        samples, rate = soundfile.read(io.BytesIO(audio), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise InvalidAudio("a recording cannot be read") from error
    return torch.from_numpy(np.ascontiguousarray(samples.mean(axis=1))), int(rate)


def _fitting(references: Sequence[Reference]) -> list[Reference]:
    """The first references that are together short enough, at least one."""
    seconds = 0.0
    for count, reference in enumerate(references):
        try:
            seconds += soundfile.info(io.BytesIO(reference.audio)).duration
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise InvalidAudio("a recording cannot be read") from error
        if seconds > LONGEST and count:
            return list(references[:count])
    return list(references)


def _joined(references: Sequence[Reference]) -> tuple[Tensor, int]:
    """All recordings behind each other, at the rate of the first."""
    samples, rate = read_wave(references[0].audio)
    parts = [samples]
    for reference in references[1:]:
        more, other = read_wave(reference.audio)
        parts.append(more if other == rate else resample(more, other, rate))
    return torch.cat(parts), rate


# -- prepared state ----------------------------------------------------------------------------------------------------


def packed(prompt: Prompt) -> bytes:
    """A Prompt as bytes that are data only."""
    tensors = {
        "tokens": prompt.tokens.contiguous(),
        "mel": prompt.mel.contiguous(),
        "embedding": prompt.embedding.contiguous(),
    }
    return safetensors.torch.save(tensors, metadata={"format": FORMAT})


def unpacked(state: bytes) -> Prompt | None:
    """The Prompt in `state`; None if it is of another format, so that it is made again."""
    try:
        tensors = safetensors.torch.load(state)
        prompt = Prompt(tensors["tokens"].long(), tensors["mel"].float(), tensors["embedding"].float())
    except (SafetensorError, KeyError, ValueError):
        return None
    fits = prompt.tokens.dim() == 1 and prompt.mel.dim() == 2 and prompt.embedding.shape == (EMBEDDING,)
    return prompt if fits else None
