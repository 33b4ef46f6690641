"""Voices: presets of a checkpoint, recordings, and the state that `make_voice` prepares of them."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import safetensors.torch
from msgspec import Struct
from safetensors import SafetensorError
from torch import Tensor

from hub.contract.errors import BackendFailed
from hub.contract.speech import Reference
from hub.contract.voice import Voice
from hub.nn.recording import Recording, read_recording
from hub.nn.weights import CheckpointError, load_torch
from hub_cosyvoice.model.acoustic_prompt import AcousticPrompt
from hub_cosyvoice.model.features import LONGEST, Features

FORMAT = "cosyvoice-voice-2"
"""The format of prepared state; it changes with the content."""

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
    """A voice, as the models get it.

    `transcript` is the text of the recording in `prompt`; None if it is not known. A saved zero-shot voice has it as
    `transcript_ids`.
    """

    prompt: AcousticPrompt
    transcript: str | None = None
    transcript_ids: tuple[int, ...] | None = None
    language: str | None = None

    @property
    def recorded(self) -> bool:
        """True if it has a recording. A preset of the SFT models is an embedding only."""
        return len(self.prompt.tokens) > 0

    @property
    def transcribed(self) -> bool:
        """True if the text of the recording is known."""
        return self.transcript is not None or self.transcript_ids is not None


# -- presets -----------------------------------------------------------------------------------------------------------


def read_presets(folder: Path, bands: int = 80) -> dict[str, Speaker]:
    """The speakers in `spk2info.pt`; none without the file. Raises CheckpointError for one that is damaged."""
    file = folder / "spk2info.pt"
    if not file.is_file():
        return {}
    found = load_torch(file)
    if not isinstance(found, dict):
        raise CheckpointError(f"{file.name} is not a dictionary of speakers", file=file.name)
    return {str(name): _preset(str(name), entry, bands) for name, entry in found.items()}


def _preset(name: str, entry: Any, bands: int) -> Speaker:
    def tensor(*keys: str) -> Tensor | None:
        value = next((entry[key] for key in keys if key in entry), None) if isinstance(entry, dict) else None
        return value if isinstance(value, Tensor) else None

    embedding = tensor("flow_embedding", "embedding", "llm_embedding")
    if embedding is None or embedding.numel() != EMBEDDING:
        raise CheckpointError(f"spk2info.pt: the speaker {name[:50]!r} has no embedding", file="spk2info.pt")
    prompt = AcousticPrompt.of_embedding(embedding, bands)
    tokens, mel = tensor("flow_prompt_speech_token"), tensor("prompt_speech_feat")
    if tokens is not None and mel is not None:
        prompt = replace(prompt, tokens=tokens.reshape(-1).long(), mel=mel.float().reshape(-1, bands))
    ids = tensor("prompt_text")
    return Speaker(prompt, transcript_ids=None if ids is None or not ids.numel() else tuple(ids.reshape(-1).tolist()))


def preset_voices(presets: dict[str, Speaker]) -> list[Voice]:
    """The presets as the hub lists them; the first one is the default."""
    voices = []
    for number, (name, speaker) in enumerate(presets.items()):
        language, gender = OFFICIAL.get(name, ("", ""))
        voices.append(
            Voice(
                id=name,
                name=name,
                languages=(language,) if language else (),
                tags=tuple(filter(None, (gender, "zero-shot" if speaker.recorded else ""))),
                default=number == 0,
            )
        )
    return voices


# -- recordings --------------------------------------------------------------------------------------------------------


class Recordings:
    """Makes Speakers of references, and remembers the last prompts by the content of their recordings."""

    def __init__(self, features: Features, remembered: int = 16) -> None:
        self._features = features
        self._remembered = remembered
        self._prompts: OrderedDict[bytes, AcousticPrompt] = OrderedDict()
        self._lock = threading.Lock()

    def speaker(self, references: Sequence[Reference], prepared: bytes | None = None) -> Speaker:
        """The speaker of `references`. If `prepare` made `prepared` of them, their audio is not needed.

        Several recordings are used one after the other, as far as they fit into the models' 30 s together. Raises
        InvalidAudio for recordings that cannot be used, BackendFailed if there is neither audio nor a usable state.
        """
        language = references[0].language
        if (speaker := unpacked(prepared) if prepared else None) is not None:
            return replace(speaker, language=language)
        if not all(reference.audio for reference in references):
            raise BackendFailed(
                "another version of the plugin prepared the state of this voice; delete cache/prepared in the hub's "
                "data folder, and the hub makes it again"
            )
        recordings = _fitting(references)
        texts = [reference.text for reference in references[: len(recordings)]]
        transcript = None if None in texts else " ".join(text for text in texts if text is not None)
        return Speaker(self._prompt(references, recordings), transcript=transcript, language=language)

    def prepare(self, references: Sequence[Reference]) -> bytes:
        """The state for the hub to keep: all that a request needs of `references`."""
        return packed(self.speaker(references))

    def _prompt(self, references: Sequence[Reference], recordings: Sequence[Recording]) -> AcousticPrompt:
        digests = (hashlib.sha256(reference.audio).digest() for reference in references[: len(recordings)])
        key = b"".join(digests)
        with self._lock:
            if (known := self._prompts.get(key)) is not None:
                self._prompts.move_to_end(key)
                return known
        prompt = self._features.prompt(_joined(recordings))
        with self._lock:
            self._prompts[key] = prompt
            while len(self._prompts) > self._remembered:
                self._prompts.popitem(last=False)
        return prompt


def _fitting(references: Sequence[Reference]) -> list[Recording]:
    """The first recordings that are together short enough, at least one."""
    fitting: list[Recording] = []
    seconds = 0.0
    for reference in references:
        recording = read_recording(reference.audio)
        seconds += recording.seconds
        if seconds > LONGEST and fitting:
            break
        fitting.append(recording)
    return fitting


def _joined(recordings: Sequence[Recording]) -> Recording:
    """All recordings one after the other, at the rate of the first."""
    rate = recordings[0].sample_rate
    return Recording(np.concatenate([recording.at(rate).numpy() for recording in recordings]), rate)


# -- prepared state ----------------------------------------------------------------------------------------------------


class _State(Struct, kw_only=True, frozen=True):
    """`prompt` is an AcousticPrompt as safetensors. The voice's language is not in it: an operator may change it."""

    format: str
    transcript: str | None
    prompt: bytes


def packed(speaker: Speaker) -> bytes:
    """The prompt and the transcript of a Speaker, as bytes that are data only."""
    prompt = speaker.prompt
    tensors = {
        "tokens": prompt.tokens.contiguous(),
        "mel": prompt.mel.contiguous(),
        "embedding": prompt.embedding.contiguous(),
    }
    state = _State(format=FORMAT, transcript=speaker.transcript, prompt=safetensors.torch.save(tensors))
    return msgspec.msgpack.encode(state)


def unpacked(state: bytes) -> Speaker | None:
    """The Speaker in `state`; None if it has another format."""
    try:
        found = msgspec.msgpack.decode(state, type=_State)
        tensors = safetensors.torch.load(found.prompt)
        prompt = AcousticPrompt(tensors["tokens"].long(), tensors["mel"].float(), tensors["embedding"].float())
    except (msgspec.MsgspecError, SafetensorError, KeyError, ValueError):
        return None
    fits = prompt.tokens.dim() == 1 and prompt.mel.dim() == 2 and prompt.embedding.shape == (EMBEDDING,)
    return Speaker(prompt, transcript=found.transcript) if fits and found.format == FORMAT else None
