"""Recordings -> the inputs of the networks: 16 kHz audio, style spectrogram, filter banks, prompt mel.

As upstream, soxr resamples for HuBERT (as `librosa.load` does), torchaudio's windowed sinc for everything else.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from hub.contract.errors import InvalidAudio
from hub.nn.features import kaldi_fbank, log_mel, magnitudes
from hub.nn.recording import Recording

HUBERT_RATE = 16_000
SHORTEST, LONGEST = 3.0, 10.0
"""Seconds of a main reference, both included."""

MEL_RANGE = (-12.0, 2.0)
"""Natural log-mel values that become -1 and 1."""

MEL_FRAMES = {"v3": (24_000, 1024, 256), "v4": (32_000, 1280, 320)}
"""Sample rate, FFT size and hop of the prompt mel."""

MEL_BANDS = 100


def check_length(recording: Recording) -> None:
    """Raise InvalidAudio unless a main reference lasts 3 to 10 s, counted at 16 kHz as the models count."""
    length = math.ceil(len(recording.samples) * HUBERT_RATE / recording.sample_rate)
    if not SHORTEST * HUBERT_RATE <= length <= LONGEST * HUBERT_RATE:
        raise InvalidAudio(
            f"the reference recording must last {SHORTEST:g} to {LONGEST:g} s; this one lasts "
            f"{recording.seconds:.2f} s",
            seconds=round(recording.seconds, 3),
        )


def appended_zeros(rate: int) -> int:
    """Zeros that follow a main reference at 16 kHz, for S2 of `rate` Hz.

    The family counts 0.3 s of them at that other rate: an accident that its models were trained with.
    """
    return int(rate * 0.3)


def hubert_wave(recording: Recording) -> Tensor:
    """(1, ceil(N * 16000 / rate)), for HuBERT."""
    length = math.ceil(len(recording.samples) * HUBERT_RATE / recording.sample_rate)
    wave = recording.at_by_soxr(HUBERT_RATE)[:length]  # soxr's length may be a sample off
    return torch.from_numpy(np.pad(wave, (0, length - len(wave))))[None]


def style_wave(recording: Recording, target: int) -> Tensor:
    """(1, M) at `target` Hz, made quieter if its peak is over 1."""
    audio = recording.at(target)[None]
    peak = float(audio.abs().max())
    return audio / min(2.0, peak) if peak > 1 else audio


def style_spectrogram(audio: Tensor, n_fft: int, hop: int, window: int) -> Tensor:
    """Mono (1, M) -> linear magnitudes (1, n_fft / 2 + 1, frames). Raises InvalidAudio for too short a recording."""
    if audio.shape[-1] <= (n_fft - hop) // 2:
        raise InvalidAudio("a reference recording is too short: it must last at least a tenth of a second")
    return magnitudes(audio, n_fft=n_fft, hop=hop, window=window, floor=1e-8)


def speaker_features(audio: Tensor) -> Tensor:
    """16 kHz audio (1, M) -> Kaldi fbank (1, frames, 80)."""
    return kaldi_fbank(audio[0], bands=80, sample_rate=HUBERT_RATE)[None]


def prompt_mel(recording: Recording, version: str) -> Tensor:
    """Normalised log-mel (1, 100, frames) of v3 or v4."""
    target, n_fft, hop = MEL_FRAMES[version]
    audio = recording.at(target)[None]
    mel = log_mel(audio, sample_rate=target, n_fft=n_fft, hop=hop, bands=MEL_BANDS, floor=1e-8, least=1e-5)
    low, high = MEL_RANGE
    return (mel - low) / (high - low) * 2 - 1


def natural_mel(mel: Tensor) -> Tensor:
    """Normalised log-mel -> the natural scale of the vocoders."""
    low, high = MEL_RANGE
    return (mel + 1) / 2 * (high - low) + low
