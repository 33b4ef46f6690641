"""Machinery: everything of a checkpoint that is loaded, on its device and in its type."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from hub.nn.device import Placement
from hub.nn.precision import settle_precision
from hub.nn.weights import CheckpointError
from hub_fish_speech.checkpoint.codec import load_codec
from hub_fish_speech.checkpoint.language_model import LanguageModel, load_language_model
from hub_fish_speech.config import CONFIG
from hub_fish_speech.model.codec.codec import Codec
from hub_fish_speech.prompt import Prompter
from hub_fish_speech.variants import Variant


class Machinery(NamedTuple):
    """The language model, the writer of its prompts, and the codec, which is always float32."""

    language: LanguageModel
    prompter: Prompter
    codec: Codec

    @property
    def variant(self) -> Variant:
        """The generation of the checkpoint."""
        return self.language.variant

    @property
    def device(self) -> torch.device:
        """The device of both."""
        return self.language.model.device


def load_machinery(
    folder: Path,
    placement: Placement,
    *,
    codec_path: Path | None = None,
    max_seq_len: int = 0,
    compiled: bool = False,
) -> Machinery:
    """Load the checkpoint in `folder`, with the codec in the folder or file `codec_path`. Raises CheckpointError."""
    settle_precision()  # the codec's encoder, in float32, decides on the codes of a recording
    language = load_language_model(folder, *placement, max_seq_len=max_seq_len)
    if compiled:
        language.model.compile_layers()
    prompter = Prompter(language.variant, language.tokenizer, language.config.codebooks)
    codec = load_codec(codec_path or folder, placement.device)
    if codec.codebooks > language.config.codebooks:
        raise CheckpointError(
            f"the codec has {codec.codebooks} codebooks, the language model {language.config.codebooks}: "
            "they belong to different models",
            file=CONFIG,
            key="num_codebooks",
        )
    return Machinery(language, prompter, codec)
