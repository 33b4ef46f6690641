"""Recordings of the tone backend: reading them, and its codec of two tokens per sample."""

from __future__ import annotations

import io

import numpy as np

from hub.contract.errors import InvalidRequest
from hub.contract.event import AudioChunk
from hub.contract.tokens import Tokens
from hub.testing.tone.symbols import SAMPLE_RATE, Wave


def read_recording(audio: bytes) -> tuple[Wave, int]:
    """Return samples and rate of a recording. Raises RuntimeError if it is not the hub's mono 32-bit float WAV."""
    import soundfile

    with soundfile.SoundFile(io.BytesIO(audio)) as file:
        if (file.format, file.subtype, file.channels) != ("WAV", "FLOAT", 1):
            raise RuntimeError(f"a recording came as {file.format} {file.subtype}, {file.channels} channels")
        return file.read(dtype="float32"), file.samplerate


def tokens_of(audio: bytes) -> Tokens:
    """Return the high bytes (row 0) and the low bytes (row 1) of 16-bit samples at SAMPLE_RATE, one per frame."""
    samples, rate = read_recording(audio)
    if rate != SAMPLE_RATE:
        times = np.arange(round(len(samples) * SAMPLE_RATE / rate)) * rate / SAMPLE_RATE
        samples = np.interp(times, np.arange(len(samples)), samples).astype(np.float32)
    words = np.round(samples.clip(-1, 1) * 32767).astype(np.int32) + 32768
    return Tokens.of(np.stack([words >> 8, words & 255]))


def audio_of(tokens: Tokens) -> AudioChunk:
    """Return the samples of `tokens`. Raises InvalidRequest for tokens of another codec."""
    ids = np.frombuffer(tokens.ids, "<i4").reshape(tokens.codebooks, -1)
    if len(ids) != 2 or ids.min(initial=0) < 0 or ids.max(initial=0) > 255:
        raise InvalidRequest("the tone backend has 2 codebooks of 256 tokens")
    return AudioChunk.of(((ids[0] * 256 + ids[1] - 32768) / 32767).astype(np.float32), SAMPLE_RATE)
