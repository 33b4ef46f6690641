"""Machinery: everything that is loaded of one checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from hub.contract.backend import ModelConfig
from hub.contract.errors import WorkerStartFailed
from hub.nn.device import find_placement
from hub.nn.precision import settle_precision
from hub_cosyvoice.checkpoint.flow import load_flow
from hub_cosyvoice.checkpoint.folder import find_folder
from hub_cosyvoice.checkpoint.lm import load_lm
from hub_cosyvoice.checkpoint.vocoder import load_vocoder
from hub_cosyvoice.config import Config, read_config
from hub_cosyvoice.model.features import Features
from hub_cosyvoice.model.lm.base import SpeechLM
from hub_cosyvoice.options import CosyVoiceLoadOptions
from hub_cosyvoice.session import Sessions
from hub_cosyvoice.text.normalise import Normaliser
from hub_cosyvoice.text.wetext import external
from hub_cosyvoice.tokenizer import Tokenizer, load_tokenizer
from hub_cosyvoice.voices import Speaker, read_presets
from hub_cosyvoice.wave import TokenToWave


@dataclass(frozen=True)
class Machinery:
    """A loaded checkpoint. It holds no state of a request, so that requests may share it."""

    config: Config
    tokenizer: Tokenizer
    normaliser: Normaliser
    lm: SpeechLM
    sessions: Sessions
    features: Features
    wave: TokenToWave
    presets: dict[str, Speaker]
    device: torch.device

    @property
    def frames_per_token(self) -> int:
        """Mel frames of a speech token, in the second and third generation."""
        return int(self.config.flow.get("token_mel_ratio", 2))


def load_machinery(model: ModelConfig, options: CosyVoiceLoadOptions | None = None) -> Machinery:
    """The checkpoint at `model.path`, a folder or a repository's id, on the model's device and in its type.

    Raises WorkerStartFailed for wrong settings, and for a folder that is not such a checkpoint.
    """
    options = options or CosyVoiceLoadOptions()
    device, dtype = find_placement(model)
    settle_precision()  # the vocoder's source adds up the pitch that its float32 convolutions find, chunk after chunk
    folder = find_folder(model.path)
    config = read_config(folder)
    if options.language_model == "rl" and not (folder / "llm.rl.pt").is_file():
        raise WorkerStartFailed("the checkpoint has no llm.rl.pt: language_model = 'rl' is for Fun-CosyVoice3")
    tokenizer = load_tokenizer(folder, config)
    lm = load_lm(folder, config, device, dtype, "llm.rl.pt" if options.language_model == "rl" else "llm.pt")
    return Machinery(
        config=config,
        tokenizer=tokenizer,
        normaliser=Normaliser(lambda text: len(tokenizer.encode(text)), external(options.normaliser)),
        lm=lm,
        sessions=Sessions(lm),
        features=Features(folder, config, device),
        wave=load_wave(folder, config, device, dtype),
        presets=read_presets(folder, int(config.mel.get("num_mels", 80))),
        device=device,
    )


def load_wave(folder: Path, config: Config, device: torch.device, dtype: torch.dtype) -> TokenToWave:
    """`flow.pt` (in `dtype`) and `hift.pt` (in float32) of a checkpoint. Raises CheckpointError if they do not fit."""
    return TokenToWave(config, load_flow(folder, config, device, dtype), load_vocoder(folder, config, device), device)
