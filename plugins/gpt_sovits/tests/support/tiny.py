"""Tiny checkpoints and recordings for the tests of this plugin."""

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from hub.contract import Reference
from plugins.gpt_sovits.tests.support.release import write_release
from plugins.gpt_sovits.tests.support.weights import TINY

RATE = 16_000
SAID = "你好，世界真美好。"


@cache
def release(folder: Path, *versions: str) -> str:
    """A release folder with random weights of `versions`."""
    for version in versions:
        write_release(folder, version, TINY)
    return str(folder)


def tiny_model(folder: Path) -> dict[str, Any]:
    """A tiny checkpoint in `folder`, and the `[models.NAME]` table of a model that speaks with it."""
    options = {"threads": 1, "warm_up": False}
    return {"backend": "gpt_sovits", "path": release(folder, "v2"), "device": "cpu", "options": options}


@cache
def wave(pitch: float = 120.0, seconds: float = 4.0) -> np.ndarray:
    """A buzz with a slow tremor, (N,) float32 at RATE."""
    time = np.arange(round(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * pitch * number * time) / number for number in range(1, 12))
    return (0.15 * tones * (1 + 0.5 * np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def wav_of(samples: np.ndarray, rate: int) -> bytes:
    """Mono samples (N,) as the WAV that a synthesizer gets."""
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="WAV", subtype="FLOAT")
    return out.getvalue()


def recording(pitch: float = 120.0, seconds: float = 4.0) -> bytes:
    """The buzz as such a WAV."""
    return wav_of(wave(pitch, seconds), RATE)


def reference(pitch: float = 120.0, seconds: float = 4.0, text: str | None = SAID, language: str = "zh") -> Reference:
    """A reference with its transcript."""
    return Reference(audio=recording(pitch, seconds), text=text, language=language)
