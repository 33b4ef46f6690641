"""Shared parts of the parity stages: the loaded model, and arrays as tensors."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hub_gpt_sovits.machinery import Machinery
from hub_gpt_sovits.options import GptSovitsLoadOptions
from torch import Tensor

from hub.nn.recording import Recording
from plugins.gpt_sovits.tests.support.tiny import wav_of

Arrays = dict[str, np.ndarray]
Stage = Callable[..., Arrays]


@dataclass
class Model:
    """A case's checkpoint, loaded, and the case's folder."""

    machinery: Machinery
    folder: Path

    @property
    def frontend(self) -> Any:
        return self.machinery.frontend

    @property
    def acoustics(self) -> Any:
        return self.machinery.acoustics()

    @property
    def net(self) -> Any:
        return self.acoustics.model


def load(checkpoint: Path, case: dict[str, Any]) -> Model:
    """The case's checkpoint through the plugin's own loader, on the CPU."""
    named = case["checkpoint"]
    tables = text_tables()
    options = GptSovitsLoadOptions(
        version="" if "vits" in named else named.get("model_version", ""),
        gpt=named.get("t2s", ""),
        sovits=named.get("vits", ""),
        hubert=named.get("hubert", ""),
        bert=named.get("bert", ""),
        text_data=str(tables) if tables else "",
    )
    return Model(Machinery(checkpoint, options), checkpoint.parent)


def text_tables() -> Path | None:
    """The official pronunciation tables, which no checkpoint of the cases holds."""
    beside = Path(__file__).parents[5] / "shared" / "data" / "gpt_sovits_text"
    folder = Path(os.environ.get("HUB_GPT_SOVITS_TEXT") or beside)
    return folder if folder.is_dir() else None


def tensor(array: np.ndarray) -> Tensor:
    """An array as a tensor."""
    return torch.from_numpy(np.ascontiguousarray(array))


def recording_of(samples: np.ndarray, rate: int) -> Recording:
    """16-bit samples, (N,) or (N, channels), as the mono recording that `read_recording` makes of their file."""
    wave = samples.astype(np.float32) / 32768
    return Recording(wave if wave.ndim == 1 else wave.mean(axis=1, dtype=np.float32), rate)


class Given:
    """The stage's own noise, in order: `in_noise`, or `in_noise_0`, `in_noise_1`, ...; times `scale`."""

    def __init__(self, arrays: Arrays, scale: float = 1.0) -> None:
        names = ["in_noise"] if "in_noise" in arrays else []
        names += [f"in_noise_{n}" for n in range(len(arrays)) if f"in_noise_{n}" in arrays]
        self._left = [tensor(arrays[name]) * scale for name in names]

    def __call__(self, shape: Any) -> Tensor:
        noise = self._left.pop(0)
        assert tuple(noise.shape) == tuple(shape), f"noise of {tuple(noise.shape)} given, {tuple(shape)} wanted"
        return noise


def wav_bytes(samples: np.ndarray, rate: int) -> bytes:
    """The same as the hub gives it to a synthesizer: a mono float WAV."""
    return wav_of(recording_of(samples, rate).samples, rate)
