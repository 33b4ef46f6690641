"""The container `pcm`: bare samples, without latency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hub.audio.container import EncoderSpec, Samples
from hub.contract.speech import AudioFormat


def to_s16(samples: Samples) -> NDArray[np.int16]:
    """Convert (N,) float to 16-bit little-endian, to the nearest 1/32768; clips, never wraps; NaN becomes 0."""
    if not samples.size:
        return np.empty(0, "<i2")
    scaled = np.maximum(samples, -1.0)
    np.minimum(scaled, 1.0, out=scaled)  # before scaling, which could overflow
    scaled *= 32768.0
    np.rint(scaled, out=scaled)
    np.minimum(scaled, 32767.0, out=scaled)
    if np.isnan(scaled.min()):
        np.nan_to_num(scaled, copy=False)
    return scaled.astype("<i2")


def _pack_s16(samples: Samples) -> bytes:
    return to_s16(samples).tobytes()


def _pack_f32(samples: Samples) -> bytes:
    return samples.astype("<f4", copy=False).tobytes()


PACK = {"s16le": _pack_s16, "f32le": _pack_f32}
"""Encoding -> the function that packs samples in it."""


class PcmEncoder:
    """Bare samples."""

    extension = "pcm"

    def __init__(self, format: AudioFormat, sample_rate: int, whole: bool) -> None:
        self.sample_rate = sample_rate
        self.media_type = f"audio/pcm;rate={sample_rate};encoding={format.encoding};channels=1"
        self.feed = PACK[format.encoding]  # the hot path: one call per chunk, without a method around it

    def finish(self) -> bytes:
        """Return nothing: no samples are held back."""
        return b""

    def close(self) -> None:
        """Do nothing: there is nothing to free."""


PCM = EncoderSpec(name="pcm", media_type="audio/pcm", extension="pcm", factory=PcmEncoder, encodings=("s16le", "f32le"))
