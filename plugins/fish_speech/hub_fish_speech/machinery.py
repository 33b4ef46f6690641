"""Voiced: a checkpoint that can speak, with the device and the precision it speaks in."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from hub.contract.errors import WorkerStartFailed
from hub.nn.weights import CheckpointError
from hub_fish_speech.checkpoint import LanguageModel, load_language_model
from hub_fish_speech.codec import Codec, load_codec
from hub_fish_speech.config import CONFIG
from hub_fish_speech.prompt import Prompter


class Voiced(NamedTuple):
    """The language model, what writes its prompts, and the codec."""

    language: LanguageModel
    prompter: Prompter
    codec: Codec


def load_voiced(
    folder: Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    codec: Path | None = None,
    max_seq_len: int = 0,
    compiled: bool = False,
) -> Voiced:
    """Load all of a checkpoint. `codec` is the folder or file of another codec. Raises WorkerStartFailed.

    `auto` is the GPU if torch can use one, and bfloat16 there, float32 on the CPU. The codec is always float32.
    """
    place = find_device(device)
    if dtype == "auto":
        dtype = "bfloat16" if place.type == "cuda" else "float32"
    language = load_language_model(folder, place, getattr(torch, dtype), max_seq_len=max_seq_len)
    if compiled:
        language.model.compile_layers()
    prompter = Prompter(language.variant, language.tokenizer, language.config.codebooks)
    sound = load_codec(codec or folder, place)
    if sound.codebooks > language.config.codebooks:
        raise CheckpointError(
            f"the codec has {sound.codebooks} codebooks, the language model {language.config.codebooks}: "
            "they are of two models",
            file=CONFIG,
            key="num_codebooks",
        )
    return Voiced(language, prompter, sound)


def find_device(name: str) -> torch.device:
    """The device that a model's settings name. Raises WorkerStartFailed if it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise WorkerStartFailed(f"this machine has no GPU that torch can use: device {name!r} cannot be had")
    return torch.device(name)
