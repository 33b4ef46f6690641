"""What depends on a reference alone, made once and kept by content, language and weights: codes, style, mel, phones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from hub.contract.errors import InvalidRequest
from hub.nn.features import resample
from hub_gpt_sovits.model.cfm import Cfm
from hub_gpt_sovits.model.vits import Vits
from hub_gpt_sovits.networks import Acoustics, Kept, Networks
from hub_gpt_sovits.references import (
    HUBERT_RATE,
    appended_zeros,
    check_length,
    hubert_wave,
    prompt_mel,
    read_reference,
    speaker_features,
    style_spectrogram,
    style_wave,
)
from hub_gpt_sovits.text import Run, TextFrontend

FORMAT = "gpt-sovits-voice-1"
"""Names the layout of prepared voices."""

END_MARKS = "，。？！,.?!~:：—…"
"""What may end a transcript."""


@dataclass(frozen=True)
class Phrase:
    """A text as the networks take it: phone ids (N,), BERT features (D, N), normalised text."""

    phones: Tensor
    bert: Tensor
    norm: str


@dataclass(frozen=True)
class Sound:
    """What one S2 makes of the recordings: prompt codes (P,), style (1, gin, 1) and, for v3 and v4, mel (1, 100, T)."""

    codes: Tensor
    style: Tensor
    mel: Tensor | None


@dataclass(frozen=True)
class Voice:
    """A sound with the phrase that is said in it; None: nobody told. `features` are v3's and v4's of that phrase."""

    sound: Sound
    phrase: Phrase | None
    features: Tensor | None = None


@dataclass(frozen=True)
class Spoken:
    """A main reference: a WAV, what is said in it, and how that is read."""

    audio: bytes
    text: str
    language: str


class Voicing:
    """Makes voices and phrases of a worker's requests, with caches that all of them share."""

    def __init__(self, networks: Networks, frontend: TextFrontend) -> None:
        self._networks, self._frontend = networks, frontend
        self._sounds: Kept[Sound] = Kept(128)
        self._phrases: Kept[Phrase] = Kept(128)
        self._features: Kept[Tensor] = Kept(32)

    def voice(
        self, main: Spoken, others: Sequence[bytes], acoustics: Acoustics, prepared: bytes | None = None
    ) -> Voice:
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
            return Voice(sound, None)
        phrase = self._phrases.get(
            (text, main.language, acoustics.symbols),
            lambda: self.phrase(_ended(text, main.language), main.language, acoustics),
        )
        if not isinstance(acoustics.model, Cfm):
            return Voice(sound, phrase)
        features = self._features.get(
            (key, text, main.language),
            lambda: reference_features(acoustics.model, sound, phrase),  # type: ignore[arg-type]
        )
        return Voice(sound, phrase, features)

    def phrase(self, text: str, language: str, acoustics: Acoustics) -> Phrase:
        """A text, read. Raises UnspeakableText."""
        return self.joined(self._frontend.read(text, language, acoustics.symbols))

    def joined(self, runs: Sequence[Run]) -> Phrase:
        """Language runs -> one phrase."""
        ids = [one for run in runs for one in run.ids]
        phones = torch.tensor(ids, dtype=torch.long, device=self._networks.device)
        return Phrase(phones, self.bert_features(runs), "".join(run.norm for run in runs))

    @torch.inference_mode()
    def bert_features(self, runs: Sequence[Run]) -> Tensor:
        """Features (D, phones) of language runs: BERT's of Chinese ones, zeros elsewhere."""
        bert = self._networks.bert
        parts = []
        for run in runs:
            if run.language == "zh" and run.word2ph is not None:
                parts.append(bert(run.norm, run.word2ph))
            else:
                parts.append(bert.zeros(len(run.ids)))
        return torch.cat(parts, 1)

    def prepare(self, main: Spoken, others: Sequence[bytes], acoustics: Acoustics) -> bytes:
        """A voice's sound as safetensors, for `voice(prepared=...)`. Raises InvalidAudio."""
        sound = self._sound(main, others, acoustics)
        tensors = {"codes": sound.codes.cpu(), "style": sound.style.float().cpu()}
        if sound.mel is not None:
            tensors["mel"] = sound.mel.float().cpu()
        tensors = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
        marked = {"digest": torch.frombuffer(bytearray(_seal(acoustics)), dtype=torch.uint8)}
        return save_safetensors({**tensors, **marked}, {"format": FORMAT})

    def _unpacked(self, prepared: bytes | None, acoustics: Acoustics) -> Sound | None:
        """The sound that `prepare` made with the same S2; None for another one's, or for what is not readable."""
        if prepared is None:
            return None
        try:
            tensors = load_safetensors(prepared)
        except (SafetensorError, ValueError):
            return None
        if bytes(tensors.get("digest", torch.empty(0)).tolist()) != _seal(acoustics):
            return None
        place, dtype = self._networks.device, self._networks.dtype
        mel = tensors.get("mel")
        return Sound(
            tensors["codes"].to(place), tensors["style"].to(place, dtype), None if mel is None else mel.to(place, dtype)
        )

    @torch.inference_mode()
    def _sound(self, main: Spoken, others: Sequence[bytes], acoustics: Acoustics) -> Sound:
        wave, rate = read_reference(main.audio)
        check_length(len(wave), rate)
        read = [(wave, rate), *map(read_reference, others)] if isinstance(acoustics.model, Vits) else [(wave, rate)]
        place, dtype = self._networks.device, self._networks.dtype
        heard = hubert_wave(wave, rate).to(place, dtype)
        codes = acoustics.model.codes(self._networks.hubert(heard, appended_zeros(acoustics.spectrum[0])))[0]
        styles = [self.style(one, own_rate, acoustics) for one, own_rate in read]
        mel = None
        if isinstance(acoustics.model, Cfm):
            mel = prompt_mel(wave, rate, acoustics.version).to(place, dtype)
        return Sound(codes, torch.stack(styles).mean(0), mel)

    @torch.inference_mode()
    def style(self, wave: np.ndarray, rate: int, acoustics: Acoustics) -> Tensor:
        """One recording, mono (N,) -> style (1, gin, 1)."""
        target, n_fft, hop, window = acoustics.spectrum
        place, dtype = self._networks.device, self._networks.dtype
        audio = style_wave(wave, rate, target)
        spec = style_spectrogram(audio, n_fft, hop, window).to(place, dtype)
        vector = None
        if isinstance(acoustics.model, Vits) and acoustics.model.with_speaker:
            vector = self._networks.speaker(speaker_features(resample(audio, target, HUBERT_RATE)).to(place, dtype))
        return acoustics.model.style(spec, vector)


@torch.inference_mode()
def reference_features(model: Cfm, sound: Sound, phrase: Phrase) -> Tensor:
    """v3's and v4's features of the reference itself, (1, C, T)."""
    return model.features(sound.codes[None], phrase.phones[None], sound.style)


def _ended(text: str, language: str) -> str:
    """The transcript with an end mark, as the models were trained."""
    return text if text[-1] in END_MARKS else text + ("." if language == "en" else "。")


def _seal(acoustics: Acoustics) -> bytes:
    return msgspec.json.encode([FORMAT, acoustics.digest])


def _digest(audio: bytes) -> bytes:
    return hashlib.sha256(audio).digest()
