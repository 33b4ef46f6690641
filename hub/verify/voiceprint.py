"""The likeness of two recordings' speakers, with NumPy alone; ADR 014 says why, and how well it tells voices apart.

A voiceprint is the average shape of the spectrum (mel cepstra) and the pitch of the voiced frames. Noise hardly moves
it; another room moves it a little, and a telephone as much as another speaker does.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import soxr
from msgspec import Struct
from numpy.typing import NDArray

from hub.verify.sound import Samples

RATE = 16_000
WINDOW, HOP = 400, 160
PITCH_WINDOW = 1024
BANDS, LOW, HIGH = 40, 80.0, 7600.0
CEPSTRA = 19
SHORTEST_LAG, LONGEST_LAG = RATE // 500, RATE // 60
VOICED = 0.6
"""Autocorrelation at the pitch from which on a frame is voiced."""

ACTIVE = 30.0
"""dB below the loudest frame. What is quieter is not speech."""

ENOUGH = 20
"""Voiced frames (0.2 s). With fewer there is nobody to compare."""

FLOOR = 30.0
"""dB below the loudest band of a frame at which bands are cut off, because noise fills what is quieter."""

SPECTRUM_SCALE, PITCH_SCALE = 0.6, 4.0
"""A difference of the cepstra (root mean square), and of the pitch in semitones, that halves the likeness."""


class Voiceprint(Struct, frozen=True, eq=False):
    """The average cepstra (CEPSTRA,) of a speaker, and the pitch in semitones above 1 Hz."""

    cepstra: NDArray[np.float64]
    pitch: float


def voiceprint(samples: Samples, sample_rate: int) -> Voiceprint | None:
    """Return the voiceprint of (N,) samples; None if there is too little voice in them."""
    wave = np.asarray(samples, np.float32)
    if sample_rate != RATE:
        wave = soxr.resample(wave, sample_rate, RATE)
    if len(wave) < PITCH_WINDOW:
        return None
    wave = wave / max(float(np.sqrt(np.mean(wave**2))), 1e-9) * 0.1
    lags, strength = _pitch(wave)
    frames = _frames(wave, WINDOW)[: len(lags)]
    levels = 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
    voiced = (levels > levels.max() - ACTIVE) & (strength > VOICED)
    if voiced.sum() < ENOUGH:
        return None
    pitch = float(np.median(12 * np.log2(RATE / lags[voiced])))
    return Voiceprint(_cepstra(frames[voiced]).mean(axis=0), pitch)


def similarity(one: Voiceprint, other: Voiceprint) -> float:
    """Return 1 for equal voiceprints, and less the more they differ, towards 0."""
    spectrum = float(np.mean((one.cepstra - other.cepstra) ** 2)) / SPECTRUM_SCALE**2
    pitch = (one.pitch - other.pitch) ** 2 / PITCH_SCALE**2
    return math.exp2(-(spectrum + pitch))


def _frames(wave: Samples, size: int) -> NDArray[np.float32]:
    """Cut (N,) into overlapping frames, one each HOP: (frames, size)."""
    return np.lib.stride_tricks.sliding_window_view(wave, size)[::HOP]


def _pitch(wave: Samples) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return for each frame the lag of the pitch in samples and how periodic the frame is: (frames,), (frames,)."""
    frames = _frames(wave, PITCH_WINDOW)
    frames = frames - frames.mean(axis=1, keepdims=True)
    powers = np.abs(np.fft.rfft(frames, 2 * PITCH_WINDOW)) ** 2
    found = np.fft.irfft(powers)[:, : LONGEST_LAG + 1]
    found /= np.maximum(found[:, :1], 1e-9) * (1 - np.arange(LONGEST_LAG + 1) / PITCH_WINDOW)
    lags = found[:, SHORTEST_LAG:].argmax(axis=1) + SHORTEST_LAG
    return lags.astype(np.float64), found[np.arange(len(found)), lags]


def _cepstra(frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mel cepstra without the zeroth, which is the loudness: (frames, WINDOW) -> (frames, CEPSTRA)."""
    filters, cosines = _tables()
    powers = np.abs(np.fft.rfft(frames * np.hanning(WINDOW), 512)) ** 2
    bands = powers @ filters.T
    bands = np.maximum(bands, bands.max(axis=1, keepdims=True) * 10 ** (-FLOOR / 10))
    found: NDArray[np.float64] = np.log(bands + 1e-12) @ cosines.T
    return found


@functools.cache
def _tables() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the triangular mel filters (BANDS, 257) and the cosines (CEPSTRA, BANDS) of an orthonormal DCT."""
    mels = np.linspace(2595 * np.log10(1 + LOW / 700), 2595 * np.log10(1 + HIGH / 700), BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    rising = (np.arange(257) * RATE / 512 - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - np.arange(257) * RATE / 512) / (edges[2:] - edges[1:-1])[:, None]
    numbers = np.arange(1, CEPSTRA + 1)[:, None]
    cosines = np.cos(np.pi / BANDS * numbers * (np.arange(BANDS) + 0.5)) * math.sqrt(2 / BANDS)
    return np.maximum(0, np.minimum(rising, falling)), cosines
