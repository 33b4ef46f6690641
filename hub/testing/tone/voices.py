"""Voices: the pitch of a preset, of a recording or of a mixture, and the hum at that pitch."""

from __future__ import annotations

import math

import numpy as np

from hub.contract.conversion import ResolvedConversion
from hub.contract.errors import UnknownVoice
from hub.contract.speech import CastVoice, Reference, ResolvedRequest, VoicePart
from hub.testing.tone.codec import read_recording
from hub.testing.tone.symbols import SAMPLE_RATE, Wave

PITCHES = {"low": 110, "mid": 165, "high": 220}
"""Voice id -> pitch of the hum in Hz, whole numbers, so that one second of hum can be repeated without a seam."""

CLONED_PITCHES = range(250, 450, 5)
"""The pitches of cloned voices, in Hz: the longer and the louder the references, the higher, in a circle."""


def pitch_for(voice: ResolvedRequest | ResolvedConversion | CastVoice) -> int:
    """Return the pitch of a preset, of recordings, or of the state from `make_voice` or `mix_voices`."""
    if any(reference.audio for reference in voice.references):
        return cloned_pitch(voice.references)
    if voice.prepared:
        return int(voice.prepared)
    name = voice.voice or "mid"
    if name not in PITCHES:
        raise UnknownVoice(f"the tone backend has no voice {name!r}; it has {', '.join(PITCHES)}", voice=name)
    return PITCHES[name]


def cloned_pitch(references: tuple[Reference, ...]) -> int:
    """Return a pitch given by the total length (in tenths of a second) and loudness (in dB) of the references."""
    index = 0
    for reference in references:
        samples, rate = read_recording(reference.audio)
        loudness = float(np.sqrt(np.mean(samples**2))) if len(samples) else 0.0
        index += round(10 * len(samples) / rate) + round(20 * math.log10(max(loudness, 1e-5)))
    return CLONED_PITCHES[index % len(CLONED_PITCHES)]


def mixed_pitch(parts: list[VoicePart]) -> int:
    """Return the weighted mean of the pitches of the parts, to the nearest 5 Hz."""
    pitches = [pitch_for(part.voice) * part.weight for part in parts]
    return round(sum(pitches) / 5) * 5


def bed(pitch: int, seed: int | None) -> Wave:
    """Return the hum and dither under the symbols, (3 * SAMPLE_RATE,), with a period of one second.

    The seed sets the dither.
    """
    hum = 0.1 * np.sin(2 * np.pi * pitch * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    dither = np.random.default_rng(seed).uniform(-1e-3, 1e-3, SAMPLE_RATE)
    return np.tile((hum + dither).astype(np.float32), 3)
