"""A checkpoint on disk -> everything that speaks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from hub.contract.backend import ModelConfig
from hub.contract.errors import InvalidRequest, WorkerStartFailed
from hub_cosyvoice.checkpoints import known_as
from hub_cosyvoice.config import Config, read_config
from hub_cosyvoice.features import Features, load_features
from hub_cosyvoice.lm.decoder import Seats
from hub_cosyvoice.lm.load import load_lm
from hub_cosyvoice.lm.model import SpeechLM
from hub_cosyvoice.options import CosyVoiceLoadOptions
from hub_cosyvoice.speakers import Speaker, read_presets
from hub_cosyvoice.text.normalise import Normaliser
from hub_cosyvoice.text.wetext import external
from hub_cosyvoice.tokenizer import Tokenizer, load_tokenizer
from hub_cosyvoice.wave import TokenToWave, load_wave

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Loaded:
    """A loaded model. Nothing of a request is in it, so that requests may share it."""

    config: Config
    tokenizer: Tokenizer
    normaliser: Normaliser
    lm: SpeechLM
    seats: Seats
    features: Features
    wave: TokenToWave
    presets: dict[str, Speaker]
    device: torch.device

    @property
    def frames_per_token(self) -> int:
        """Mel frames of a speech token, in the second and third generation."""
        return int(self.config.flow.get("token_mel_ratio", 2))


def load_checkpoint(model: ModelConfig, options: CosyVoiceLoadOptions | None = None) -> Loaded:
    """The model at `model.path`, a folder or a repository's id, on its device and in its type.

    Raises InvalidRequest for settings that cannot be, WorkerStartFailed for a folder that is no such checkpoint.
    """
    options = options or CosyVoiceLoadOptions()
    device = choose_device(model.device)
    dtype = choose_dtype(model.dtype, device)
    folder = find_folder(model.path)
    config = read_config(folder)
    if options.language_model == "rl" and not (folder / "llm.rl.pt").is_file():
        raise WorkerStartFailed("the checkpoint has no llm.rl.pt: language_model = 'rl' is for Fun-CosyVoice3")
    tokenizer = load_tokenizer(folder, config)
    lm = load_lm(folder, config, device, dtype, "llm.rl.pt" if options.language_model == "rl" else "llm.pt")
    return Loaded(
        config=config,
        tokenizer=tokenizer,
        normaliser=Normaliser(lambda text: len(tokenizer.encode(text)), external(options.normaliser)),
        lm=lm,
        seats=Seats(lm),
        features=load_features(folder, config, device),
        wave=load_wave(folder, config, device, dtype),
        presets=read_presets(folder, int(config.mel.get("num_mels", 80))),
        device=device,
    )


def choose_device(name: str) -> torch.device:
    """`auto` is the first GPU that CUDA has, else the CPU."""
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidRequest(f"there is no device {name!r}; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise InvalidRequest(f"CosyVoice runs on cpu and cuda, not on {device.type!r}")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InvalidRequest("CUDA is not available here: set device to cpu")
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """`auto` is half precision on a GPU (bfloat16 where it has it) and float32 on the CPU."""
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if name not in DTYPES:
        raise InvalidRequest(f"there is no dtype {name!r}; use auto, {', '.join(DTYPES)}")
    return DTYPES[name]


def find_folder(path: str) -> Path:
    """The folder at `path`, or the local copy of the repository of that id. Raises WorkerStartFailed."""
    if not path:
        raise InvalidRequest("CosyVoice needs a path: the folder of a checkpoint; `ttshub pull cosyvoice` fetches one")
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    release = known_as(path)
    if release is None:
        raise WorkerStartFailed(
            "the model's path is no folder and no release of CosyVoice; see `ttshub pull cosyvoice`"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(release.huggingface, allow_patterns=list(release.files)))
    except Exception as error:  # no network, no such revision, a gated repository: the library has one for each
        raise WorkerStartFailed(
            f"{release.huggingface} could not be fetched ({type(error).__name__}); `ttshub pull cosyvoice` has mirrors"
        ) from error
