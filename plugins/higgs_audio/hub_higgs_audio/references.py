"""Reference recordings on their way into a prompt: WAV to 24 kHz, to codes, and codes in a safe format."""

from __future__ import annotations

import io

import numpy as np
import soundfile
import soxr
import torch
from torch import Tensor


def read_wave(audio: bytes, sample_rate: int) -> Tensor:
    """A WAV as mono float32 (N,) at `sample_rate`: the mean of its channels, nothing trimmed, no loudness changed."""
    wave, rate = soundfile.read(io.BytesIO(audio), dtype="float32", always_2d=True)
    return torch.from_numpy(resampled(wave.mean(1), rate, sample_rate))


def resampled(wave: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """(N,) float32 at another rate, in soxr's high quality, as librosa does it."""
    if rate == new_rate:
        return wave
    return np.ascontiguousarray(soxr.resample(wave, rate, new_rate, quality="HQ"), np.float32)
