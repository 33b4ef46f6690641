"""Voices: the references of a request, as the networks take them.

A voice is the sound of the recordings (codes, style, mel) and the phrase that is said in the first one. Both are made
once, and kept by content, language and weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from hub.contract.errors import InvalidRequest
from hub.nn.features import resample
from hub.nn.recording import Recording, read_recording
from hub_gpt_sovits.features import (
    HUBERT_RATE,
    appended_zeros,
    check_length,
    hubert_wave,
    prompt_mel,
    speaker_features,
    style_spectrogram,
    style_wave,
)
from hub_gpt_sovits.model.cfm import Cfm
from hub_gpt_sovits.model.vits import Vits
from hub_gpt_sovits.networks import Acoustics, Kept, Networks
from hub_gpt_sovits.text import Run, TextFrontend

FORMAT = "gpt-sovits-voice-1"
"""The layout of prepared voices."""

ENDS = "，。？！,.?!~:：—…"
"""Punctuation that may end a transcript."""


@dataclass(frozen=True)
class Phrase:
    """A text as input of the networks: phone ids (N,), BERT features (D, N), normalised text."""

    phones: Tensor
    bert: Tensor
    norm: str


@dataclass(frozen=True)
class Sound:
    """The recordings as one S2 hears them: prompt codes (P,), style (1, gin, 1), for v3 and v4 mel (1, 100, T)."""

    codes: Tensor
    style: Tensor
    mel: Tensor | None


@dataclass(frozen=True)
class ClonedVoice:
    """A sound and the phrase that is said in it, None without a transcript. `features` of the phrase: v3 and v4."""

    sound: Sound
    phrase: Phrase | None
    features: Tensor | None = None


@dataclass(frozen=True)
class MainReference:
    """The first reference: a recording (WAV), its transcript, and the `text_lang` that the transcript is read with."""

    audio: bytes
    text: str
    language: str


class Voices:
    """Makes the voices and phrases of a worker's requests, with caches that all of them share."""

    def __init__(self, networks: Networks, frontend: TextFrontend) -> None:
        self._networks, self._frontend = networks, frontend
        self._sounds: Kept[Sound] = Kept(128)
        self._phrases: Kept[Phrase] = Kept(128)
        self._features: Kept[Tensor] = Kept(32)

    def voice(
        self, main: MainReference, others: Sequence[bytes], acoustics: Acoustics, prepared: bytes | None = None
    ) -> ClonedVoice:
        """The voice of a request. Raises InvalidAudio, InvalidRequest, UnspeakableText."""
        key = (_digest(main.audio), *map(_digest, others), acoustics.number)
        sound = self._sounds.get(
            key, lambda: self._unpacked(prepared, acoustics) or self._sound(main, others, acoustics)
        )
        text = main.text.strip("\n")
        if not text.strip():
            if acoustics.vocoder is not None:
                raise InvalidRequest(
                    f"{acoustics.version} needs the transcript of the recording: give it as the reference's `text`"
                )
            return ClonedVoice(sound, None)
        phrase = self._phrases.get(
            (text, main.language, acoustics.symbols),
            lambda: self.phrase(_ended(text, main.language), main.language, acoustics),
        )
        if not isinstance(acoustics.model, Cfm):
            return ClonedVoice(sound, phrase)
        features = self._features.get(
            (key, text, main.language),
            lambda: reference_features(acoustics.model, sound, phrase),  # type: ignore[arg-type]
        )
        return ClonedVoice(sound, phrase, features)

    def phrase(self, text: str, language: str, acoustics: Acoustics) -> Phrase:
        """The phrase of a text. Raises UnspeakableText."""
        return self.joined(self._frontend.read(text, language, acoustics.symbols))

    def joined(self, runs: Sequence[Run]) -> Phrase:
        """Language runs -> one phrase."""
        ids = [one for run in runs for one in run.ids]
        phones = torch.tensor(ids, dtype=torch.long, device=self._networks.device)
        return Phrase(phones, self.bert_features(runs), "".join(run.norm for run in runs))

    @torch.inference_mode()
    def bert_features(self, runs: Sequence[Run]) -> Tensor:
        """Features (D, phones) of language runs: BERT's for Chinese runs, zeros for the others."""
        bert = self._networks.bert
        parts = []
        for run in runs:
            if run.language == "zh" and run.word2ph is not None:
                parts.append(bert(run.norm, run.word2ph))
            else:
                parts.append(bert.zeros(len(run.ids)))
        return torch.cat(parts, 1)

    def prepare(self, main: MainReference, others: Sequence[bytes], acoustics: Acoustics) -> bytes:
        """The sound of a voice as safetensors, for `voice(prepared=...)`. Raises InvalidAudio."""
        sound = self._sound(main, others, acoustics)
        tensors = {"codes": sound.codes.cpu(), "style": sound.style.float().cpu()}
        if sound.mel is not None:
            tensors["mel"] = sound.mel.float().cpu()
        tensors = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
        marked = {"digest": torch.frombuffer(bytearray(_seal(acoustics)), dtype=torch.uint8)}
        return save_safetensors({**tensors, **marked}, {"format": FORMAT})

    def _unpacked(self, prepared: bytes | None, acoustics: Acoustics) -> Sound | None:
        """The sound that `prepare` made with the same S2; None for another S2's, and for bytes that cannot be read."""
        if prepared is None:
            return None
        try:
            tensors = load_safetensors(prepared)
        except (SafetensorError, ValueError):
            return None
        if bytes(tensors.get("digest", torch.empty(0)).tolist()) != _seal(acoustics):
            return None
        device, dtype = self._networks.device, self._networks.dtype
        codes, style, mel = tensors["codes"].to(device), tensors["style"].to(device, dtype), tensors.get("mel")
        return Sound(codes, style, None if mel is None else mel.to(device, dtype))

    @torch.inference_mode()
    def _sound(self, main: MainReference, others: Sequence[bytes], acoustics: Acoustics) -> Sound:
        recording = read_recording(main.audio)
        check_length(recording)
        device, dtype = self._networks.device, self._networks.dtype
        heard = hubert_wave(recording).to(device, dtype)
        codes = acoustics.model.codes(self._networks.hubert(heard, appended_zeros(acoustics.spectrum[0])))[0]
        if isinstance(acoustics.model, Cfm):  # v3 and v4 pass the other recordings over, as upstream
            mel = prompt_mel(recording, acoustics.version).to(device, dtype)
            return Sound(codes, self.style(recording, acoustics), mel)
        styles = [self.style(one, acoustics) for one in (recording, *map(read_recording, others))]
        return Sound(codes, torch.stack(styles).mean(0), None)

    @torch.inference_mode()
    def style(self, recording: Recording, acoustics: Acoustics) -> Tensor:
        """The style of one recording, (1, gin, 1)."""
        target, n_fft, hop, window = acoustics.spectrum
        device, dtype = self._networks.device, self._networks.dtype
        audio = style_wave(recording, target)
        spec = style_spectrogram(audio, n_fft, hop, window).to(device, dtype)
        vector = None
        if isinstance(acoustics.model, Vits) and acoustics.model.with_speaker:
            vector = self._networks.speaker(speaker_features(resample(audio, target, HUBERT_RATE)).to(device, dtype))
        return acoustics.model.style(spec, vector)


@torch.inference_mode()
def reference_features(model: Cfm, sound: Sound, phrase: Phrase) -> Tensor:
    """The features of the reference itself, (1, C, T), for v3 and v4."""
    return model.features(sound.codes[None], phrase.phones[None], sound.style)


def _ended(text: str, language: str) -> str:
    """The transcript with punctuation at its end, as in training."""
    return text if text[-1] in ENDS else text + ("." if language == "en" else "。")


def _seal(acoustics: Acoustics) -> bytes:
    return msgspec.json.encode([FORMAT, acoustics.digest])


def _digest(audio: bytes) -> bytes:
    return hashlib.sha256(audio).digest()
