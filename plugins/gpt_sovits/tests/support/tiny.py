"""Tiny checkpoints and recordings for the tests of this plugin."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from hub_gpt_sovits.random_weights import TINY, write_release

from hub.contract import Reference

RATE = 16_000
SAID = "你好，世界真美好。"


@cache
def release(folder: Path, *versions: str) -> str:
    """A release folder with random weights of `versions`."""
    for version in versions:
        write_release(folder, version, TINY)
    return str(folder)


@cache
def wave(pitch: float = 120.0, seconds: float = 4.0) -> np.ndarray:
    """A buzz with a slow tremor, (N,) float32 at RATE."""
    time = np.arange(round(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * pitch * number * time) / number for number in range(1, 12))
    return (0.15 * tones * (1 + 0.5 * np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def recording(pitch: float = 120.0, seconds: float = 4.0) -> bytes:
    """The same as the WAV that a synthesizer gets."""
    out = io.BytesIO()
    soundfile.write(out, wave(pitch, seconds), RATE, format="WAV", subtype="FLOAT")
    return out.getvalue()


def reference(pitch: float = 120.0, seconds: float = 4.0, text: str | None = SAID, language: str = "zh") -> Reference:
    """A reference with its transcript."""
    return Reference(audio=recording(pitch, seconds), text=text, language=language)
