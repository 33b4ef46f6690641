"""Machinery: everything that is loaded, and how it is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from hub.contract import ModelConfig
from hub.contract.errors import WorkerStartFailed
from hub.nn.device import find_device, find_placement
from hub.nn.loans import Loans
from hub.nn.precision import settle_precision
from hub_higgs_audio.checkpoint import load_codec, load_language, load_tokenizer
from hub_higgs_audio.layout import find_codec, find_language
from hub_higgs_audio.model.codec import Codec
from hub_higgs_audio.model.language import LanguageModel
from hub_higgs_audio.options import HiggsLoadOptions
from hub_higgs_audio.prompt import PromptBuilder
from hub_higgs_audio.session import Session, make_sessions
from hub_higgs_audio.tokenizer import HiggsTokenizer


@dataclass
class Machinery:
    """Shared by all requests; holds no state of any.

    A prompt and its answer fill at most `positions`. `codec_folder` is the folder of the codec.
    """

    language: LanguageModel
    tokenizer: HiggsTokenizer
    codec: Codec
    sessions: Loans[Session]
    positions: int
    codec_folder: Path

    @classmethod
    def load(cls, model: ModelConfig, options: HiggsLoadOptions) -> Machinery:
        """Both parts of the checkpoint, on their devices. Raises WorkerStartFailed."""
        device, dtype = find_placement(model)
        settle_precision()  # the codec is in float32, and its last digits decide on the codes of a recording
        part, codec_part = find_language(model.path), find_codec(model.path, options.codec)
        language = load_language(part, device, dtype)
        codec = load_codec(codec_part, _codec_device(model, options, device))
        _check_match(language, codec)
        positions = min(options.max_positions, language.sizes.max_positions)
        return cls(
            language,
            load_tokenizer(part),
            codec,
            make_sessions(language, keep=options.streams, positions=positions, compiled=model.compile),
            positions,
            codec_part.folder,
        )

    @property
    def prompts(self) -> PromptBuilder:
        """A builder of this model's prompts."""
        return PromptBuilder(self.tokenizer, self.language.sizes)


def _codec_device(model: ModelConfig, options: HiggsLoadOptions, device: torch.device) -> torch.device:
    """The device that the options name, else the model's, but not MPS, whose float32 convolutions differ."""
    if options.codec_device:
        return find_device(options.codec_device, setting=f"models.{model.name}.options.codec_device")
    return torch.device("cpu") if device.type == "mps" else device


def _check_match(language: LanguageModel, codec: Codec) -> None:
    """Raise WorkerStartFailed if the two parts have different codebooks."""
    ours = language.sizes.codebooks, language.sizes.codebook_size
    theirs = codec.codebooks, codec.codebook_size
    if ours != theirs:
        raise WorkerStartFailed(
            f"the language model has {ours[0]} codebooks of {ours[1]} and the codec {theirs[0]} of {theirs[1]}; "
            "they do not belong together"
        )
