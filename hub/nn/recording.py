"""Reading a reference recording: the WAV that the hub passes to a synthesizer -> samples."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from hub.contract.errors import InvalidAudio
from hub.nn.features import resample


class Recording(NamedTuple):
    """Mono samples (N,) float32 and their rate in Hz."""

    samples: NDArray[np.float32]
    sample_rate: int

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / self.sample_rate

    def at(self, sample_rate: int, *, kernel_dtype: torch.dtype = torch.float64) -> Tensor:
        """(M,) at another rate, by torchaudio's windowed sinc; see `hub.nn.features.resample`."""
        wave = torch.from_numpy(self.samples)
        if sample_rate == self.sample_rate:
            return wave
        return resample(wave, self.sample_rate, sample_rate, kernel_dtype=kernel_dtype)

    def at_by_soxr(self, sample_rate: int) -> NDArray[np.float32]:
        """(M,) at another rate, by soxr in high quality, as librosa resamples."""
        if sample_rate == self.sample_rate:
            return self.samples
        resampled = soxr.resample(self.samples, self.sample_rate, sample_rate, quality="HQ")
        return np.ascontiguousarray(resampled, np.float32)


def read_recording(audio: bytes) -> Recording:
    """A sound file as mono: the mean of its channels, nothing trimmed, no loudness changed.

    Raises InvalidAudio for a file that cannot be read, is empty, or holds samples that are not finite.
    """
    try:
        samples, rate = soundfile.read(io.BytesIO(audio), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        raise InvalidAudio("the recording cannot be read as audio; send a WAV, FLAC, MP3 or OGG file") from error
    if not len(samples):
        raise InvalidAudio("the recording is empty")
    if not np.isfinite(samples).all():
        raise InvalidAudio("the recording has samples that are not finite numbers")
    return Recording(np.ascontiguousarray(samples.mean(axis=1, dtype=np.float32)), int(rate))
