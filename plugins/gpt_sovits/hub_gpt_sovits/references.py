"""Reference recordings -> what the networks take of them: 16 kHz audio, style spectrogram, fbank, mel.

Sources: `librosa.load`'s resampler (soxr HQ) for HuBERT, torchaudio's sinc resampler elsewhere, as upstream has them.
"""

from __future__ import annotations

import io
import math

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import torch
from torch import Tensor

from hub.contract.errors import InvalidAudio
from hub.nn.features import kaldi_fbank, log_mel, magnitudes, resample

HUBERT_RATE = 16_000
SHORTEST, LONGEST = 3.0, 10.0
"""Seconds of a main reference, both included."""

MEL_RANGE = (-12.0, 2.0)
"""Natural log-mel values that become -1 and 1."""

MEL_SETTINGS = {"v3": (24_000, 1024, 256), "v4": (32_000, 1280, 320)}
"""Rate, FFT size and hop of the prompt mel."""

MEL_BANDS = 100

Wave = npt.NDArray[np.float32]


def read_reference(audio: bytes) -> tuple[Wave, int]:
    """A WAV -> mono float32 samples (N,) and their rate. Raises InvalidAudio."""
    try:
        wave, rate = soundfile.read(io.BytesIO(audio), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise InvalidAudio("the reference is no audio that can be read") from error
    if not len(wave) or not np.isfinite(wave).all():
        raise InvalidAudio("the reference is empty or damaged")
    return np.ascontiguousarray(wave.mean(axis=1, dtype=np.float32)), int(rate)


def check_length(samples: int, rate: int) -> None:
    """Raises InvalidAudio unless a main reference lasts 3 to 10 s, counted at 16 kHz as the models count."""
    length = math.ceil(samples * HUBERT_RATE / rate)
    if not SHORTEST * HUBERT_RATE <= length <= LONGEST * HUBERT_RATE:
        raise InvalidAudio(
            f"the reference recording must last {SHORTEST:g} to {LONGEST:g} s; this one lasts {samples / rate:.2f} s",
            seconds=round(samples / rate, 3),
        )


def appended_zeros(rate: int) -> int:
    """Zeros that stand behind a main reference at 16 kHz, for S2 of `rate` Hz.

    The family counts 0.3 s of them at that other rate, an accident that its models were trained with.
    """
    return int(rate * 0.3)


def hubert_wave(wave: Wave, rate: int) -> Tensor:
    """Mono (N,) -> (1, ceil(N * 16000 / rate)), for HuBERT."""
    if rate != HUBERT_RATE:
        length = math.ceil(len(wave) * HUBERT_RATE / rate)
        wave = soxr.resample(wave, rate, HUBERT_RATE, quality="HQ")[:length]
        wave = np.pad(wave, (0, length - len(wave)))
    return torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))[None]


def style_wave(wave: Wave, rate: int, target: int) -> Tensor:
    """Mono (N,) -> (1, M) at `target` Hz, made quieter where its peak is over 1."""
    audio = resample(torch.from_numpy(wave)[None], rate, target)
    peak = float(audio.abs().max())
    return audio / min(2.0, peak) if peak > 1 else audio


def style_spectrogram(audio: Tensor, n_fft: int, hop: int, window: int) -> Tensor:
    """Mono (1, M) -> linear magnitudes (1, n_fft / 2 + 1, frames)."""
    if audio.shape[-1] <= (n_fft - hop) // 2:
        raise InvalidAudio("a reference recording is too short: a tenth of a second is needed at least")
    return magnitudes(audio, n_fft=n_fft, hop=hop, window=window, floor=1e-8)


def speaker_features(audio: Tensor) -> Tensor:
    """16 kHz audio (1, M) -> Kaldi fbank (1, frames, 80)."""
    return kaldi_fbank(audio[0], bands=80, sample_rate=HUBERT_RATE)[None]


def prompt_mel(wave: Wave, rate: int, version: str) -> Tensor:
    """Mono (N,) -> normalised log-mel (1, 100, frames) of v3 or v4."""
    target, n_fft, hop = MEL_SETTINGS[version]
    audio = resample(torch.from_numpy(wave)[None], rate, target)
    mel = log_mel(audio, sample_rate=target, n_fft=n_fft, hop=hop, bands=MEL_BANDS, floor=1e-8, least=1e-5)
    low, high = MEL_RANGE
    return (mel - low) / (high - low) * 2 - 1


def natural_mel(mel: Tensor) -> Tensor:
    """Normalised log-mel -> the vocoders' natural scale."""
    low, high = MEL_RANGE
    return (mel + 1) / 2 * (high - low) + low
